"""Tests a stack over servers that exist already, and the ports of its services."""

from __future__ import annotations

import socket
from pathlib import Path

import aiohttp
import pytest

from services.devstack.errors import ServerError
from services.devstack.ports import LOOPBACK, free_port
from services.devstack.stack import DSN, NATS_URL, POSTGRES_ROLES, Stack


@pytest.mark.parametrize("roles", ["separate", "single"])
async def test_external_servers_are_used_and_no_private_one_is_started(
    database: str, nats_url: str, tmp_path: Path, roles: str
) -> None:
    settings = {DSN: database, NATS_URL: nats_url, POSTGRES_ROLES: roles}
    stack = Stack(tmp_path, settings=settings, only=("ingest",))
    async with stack, aiohttp.ClientSession() as http:
        assert not (tmp_path / "postgres" / "cluster").exists()
        assert stack.nats_url("ingest") == nats_url
        async with http.get(stack.operations_url("ingest") + "/readyz") as response:
            assert response.status == 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({DSN: "postgresql://nobody@127.0.0.1:1/none"}, "check ONEFOLD_POSTGRES_DSN"),
        ({NATS_URL: "nats://127.0.0.1:1"}, "check ONEFOLD_NATS_URL"),
    ],
)
async def test_unreachable_server_raises_an_error_of_one_line(
    database: str, tmp_path: Path, settings: dict[str, str], message: str
) -> None:
    with pytest.raises(ServerError, match=message) as error:
        await Stack(tmp_path, settings={DSN: database, **settings}, only=("ingest",)).start()
    assert "\n" not in str(error.value)


async def test_external_postgres_without_the_roles_is_refused_with_the_command_that_helps(
    database: str, nats_url: str, tmp_path: Path
) -> None:
    settings = {DSN: database.replace("//onefold:", "//missing:"), NATS_URL: nats_url}
    with pytest.raises(ServerError, match=r"`\./onefold database roles`"):
        await Stack(tmp_path, settings=settings, only=("ingest",)).start()


async def test_default_port_in_use_is_replaced_and_a_port_that_is_set_is_used(
    database: str, nats_url: str, tmp_path: Path
) -> None:
    default, chosen = free_port(), free_port()
    settings = {DSN: database, NATS_URL: nats_url, "ONEFOLD_INGEST_GRPC_PORT": str(chosen)}
    with socket.create_server((LOOPBACK, 0)) as other:
        used = int(other.getsockname()[1])
        defaults = {"ingest_http": used, "ingest_grpc": default, "profile_internal_http": default}
        stack = Stack(tmp_path, settings=settings, default_ports=defaults, only=("ingest",))
        async with stack, aiohttp.ClientSession() as http:
            assert stack.public_address("ingest") == f"{LOOPBACK}:{chosen}"
            assert stack.operations_url("profile") == f"http://{LOOPBACK}:{default}"
            (notice,) = stack.notices
            assert f"port {used} is in use: ingest_http" in notice
            async with http.get(stack.operations_url("ingest") + "/readyz") as response:
                assert response.status == 200
        first = stack.endpoints()
    async with Stack(tmp_path, settings=settings, only=("ingest",)) as second:
        assert second.endpoints() == first
