"""Tests the private NATS: persistence, restarts, configuration, errors."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import nats
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from service_fixtures import OpenNatsServer, wait_until

from services.devstack.binaries import NATS_VARIABLE
from services.devstack.errors import FolderInUse, ServerError
from services.devstack.process import is_alive


@pytest_asyncio.fixture(loop_scope="session")
async def server(tmp_path: Path) -> AsyncIterator[OpenNatsServer]:
    async with OpenNatsServer(tmp_path) as running:
        yield running


async def connect(server: OpenNatsServer) -> Client:
    return await nats.connect(server.url, allow_reconnect=False, error_cb=ignore)


async def ignore(_: Exception) -> None:
    """Ignore a broken connection, which is part of these tests."""


async def publish(server: OpenNatsServer, count: int) -> None:
    client = await connect(server)
    stream = client.jetstream()
    await stream.add_stream(name="facts", subjects=["facts.>"])
    for number in range(count):
        await stream.publish("facts.0", str(number).encode())
    await client.close()


async def consume(server: OpenNatsServer, count: int) -> list[int]:
    client = await connect(server)
    subscription = await client.jetstream().pull_subscribe("facts.0", durable="reader")
    messages = await subscription.fetch(count, timeout=10)
    for message in messages:
        await message.ack()
    await client.close()
    return [int(message.data) for message in messages]


async def test_messages_and_port_survive_a_restart(tmp_path: Path) -> None:
    async with OpenNatsServer(tmp_path) as first:
        await publish(first, 20)
    async with OpenNatsServer(tmp_path) as second:
        assert second.url == first.url
        assert await consume(second, 20) == list(range(20))


async def test_killed_server_restarts_with_every_acknowledged_message(
    server: OpenNatsServer,
) -> None:
    watching = asyncio.create_task(server.watch())
    await publish(server, 20)
    killed, url = server.pid, server.url
    os.kill(killed, signal.SIGKILL)
    await wait_until(lambda: server.pid != killed)
    await wait_until(lambda: responds(server))
    assert server.url == url
    assert await consume(server, 20) == list(range(20))
    await server.stop()
    await watching


async def responds(server: OpenNatsServer) -> bool:
    try:
        return b"INFO" in await exchange(server, "")
    except OSError:
        return False


async def exchange(server: OpenNatsServer, text: str) -> bytes:
    """Send a text to the server, and return its greeting and its response."""
    url = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        writer.write(text.encode())
        return await reader.readline() + (await reader.readline() if text else b"")
    finally:
        writer.close()


async def test_wipe_deletes_the_streams_and_keeps_the_port(server: OpenNatsServer) -> None:
    watching = asyncio.create_task(server.watch())
    await publish(server, 1)
    before, url = server.pid, server.url
    await server.wipe()
    assert (server.pid != before, server.url) == (True, url)
    client = await connect(server)
    with pytest.raises(NotFoundError):
        await client.jetstream().stream_info("facts")
    await client.close()
    assert not watching.done()
    await server.stop()
    await watching


async def test_client_without_password_is_rejected(server: OpenNatsServer) -> None:
    assert b"Authorization Violation" in await exchange(server, "CONNECT {}\r\nPING\r\n")


async def test_configuration_flushes_before_acknowledging_and_is_private(
    server: OpenNatsServer,
) -> None:
    assert "sync_interval: always" in (server.home / "nats.conf").read_text()
    assert (server.home / "nats.conf").stat().st_mode & 0o077 == 0


async def test_payload_limit_is_eight_megabytes(server: OpenNatsServer) -> None:
    client = await connect(server)
    assert client.max_payload == 8 * 1024 * 1024
    await client.close()


async def test_running_server_is_adopted(tmp_path: Path) -> None:
    first = OpenNatsServer(tmp_path, die_with_parent=False)
    await first.start()
    first._unlock_folder()  # the system does so when a supervisor dies
    async with OpenNatsServer(tmp_path) as second:
        assert (second.pid, second.url) == (first.pid, first.url)
    await wait_until(lambda: not is_alive(first.pid))
    first._reap()


async def test_second_supervisor_of_a_folder_raises_an_error(
    tmp_path: Path, server: OpenNatsServer
) -> None:
    with pytest.raises(FolderInUse, match="--data"):
        await OpenNatsServer(tmp_path).start()


async def test_missing_program_raises_an_error_with_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NATS_VARIABLE, str(tmp_path))
    with pytest.raises(ServerError, match=NATS_VARIABLE):
        await OpenNatsServer(tmp_path).start()


async def test_folder_that_cannot_be_made_raises_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServerError, match="cannot use"):
        await OpenNatsServer(tmp_path / "file").start()
