"""Credentials of sources on a private NATS: made, replaced and removed while it runs."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from service_fixtures import HANG_S, wait_until
from typer.testing import CliRunner

from services.cli.__main__ import app
from services.devstack.errors import ServerError
from services.devstack.nats import NatsServer, accepts
from services.devstack.nats_config import CLIENTS_FILE, ClientId

WEB = ClientId("default", "web")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsServer]:
    async with NatsServer(tmp_path_factory.mktemp("clients")) as running:
        yield running


async def onefold(server: NatsServer, *arguments: str) -> Any:
    """Run `./onefold nats credentials` over the folder of the server."""
    options = ["nats", "credentials", "--data", str(server.data_dir), *arguments]
    return await asyncio.to_thread(CliRunner().invoke, app, options)


async def is_accepted(url: str) -> bool:
    parts = urlsplit(url)
    return await accepts(parts.port or 0, parts.username or "", parts.password or "")


async def test_credentials_are_made_replaced_and_removed_while_the_server_runs(
    server: NatsServer,
) -> None:
    made = await onefold(server, "--source", "shop")
    assert made.exit_code == 0, made.output
    first = made.stdout.strip()
    assert urlsplit(first).username == ClientId("default", "shop").name
    assert await is_accepted(first)
    again = await onefold(server, "--source", "shop")
    assert (again.exit_code, again.stdout) == (1, "")
    assert "--rotate" in again.stderr
    reader, writer = await connect(first)
    second = (await onefold(server, "--source", "shop", "--rotate")).stdout.strip()
    assert second != first
    assert await is_accepted(second)
    assert not await is_accepted(first)
    # The connection with the old ones ends.
    await asyncio.wait_for(reader.read(), HANG_S)
    writer.close()
    assert (await onefold(server, "--source", "shop", "--remove")).exit_code == 0
    await wait_until(lambda: is_refused(second))
    assert (await onefold(server, "--source", "shop", "--remove")).exit_code == 1


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    login = json.dumps({"user": parts.username, "pass": parts.password, "verbose": False})
    writer.write(f"CONNECT {login}\r\nPING\r\n".encode())
    assert b"PONG" in [await reader.readline(), (await reader.readline()).strip()]
    return reader, writer


async def is_refused(url: str) -> bool:
    return not await is_accepted(url)


async def test_passwords_are_in_a_private_file_and_in_no_log(server: NatsServer) -> None:
    url = await server.client_url(WEB)
    file = server.home / CLIENTS_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    password = url.rpartition("@")[0].rpartition(":")[2]
    assert password in file.read_text()
    assert password not in server.log_file.read_text()
    assert await server.client_url(WEB) == url


async def test_credentials_survive_a_restart(tmp_path: Path) -> None:
    async with NatsServer(tmp_path) as first:
        url = await first.client_url(WEB)
    async with NatsServer(tmp_path):
        assert await is_accepted(url)


@pytest.mark.parametrize("source", ["", "*", ">", "a.b", "a b", "A", "x" * 64, 'x"', "é"])
async def test_source_that_is_no_id_is_refused(server: NatsServer, source: str) -> None:
    before = (server.home / CLIENTS_FILE).read_text()
    refused = await onefold(server, "--source", source)
    assert refused.exit_code == 1
    assert "must be an id" in refused.stderr
    assert (server.home / CLIENTS_FILE).read_text() == before


async def test_file_of_another_nats_is_written_and_its_reload_is_described(tmp_path: Path) -> None:
    file = tmp_path / "clients" / "clients.conf"
    arguments = ["--source", "web", "--file", str(file), "--server", "nats.example:4222"]
    made = CliRunner().invoke(app, ["nats", "credentials", *arguments])
    assert made.exit_code == 0
    assert made.stdout.strip().endswith("@nats.example:4222")
    assert "HUP" in made.stderr
    assert '"onefold.in.default.web"' in file.read_text()


async def test_damaged_file_is_an_error_and_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "clients.conf"
    file.write_text("users: []")
    options = ["nats", "credentials", "--source", "web", "--file", str(file)]
    refused = CliRunner().invoke(app, options)
    assert refused.exit_code == 1
    assert "restore it" in refused.stderr
    assert file.read_text() == "users: []"


async def test_folder_without_a_nats_is_an_error(tmp_path: Path) -> None:
    refused = CliRunner().invoke(
        app, ["nats", "credentials", "--data", str(tmp_path), "--source", "web"]
    )
    assert refused.exit_code == 1
    assert "--file" in refused.stderr


def test_two_ids_never_have_one_user() -> None:
    assert ClientId("a_b", "c").name != ClientId("a", "b_c").name
    with pytest.raises(ServerError):
        ClientId("a.b", "c")
