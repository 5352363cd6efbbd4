"""Tests that a service which is down, hangs or is not ready is named."""

from __future__ import annotations

import asyncio

from service_fixtures import HANG_S

from services.cli.health import load_problems

READY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
BODY = b'{"ready":false,"checks":{"postgres":"StoreUnavailable","nats":"ok"}}'
NOT_READY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: "
    + str(len(BODY)).encode()
    + b"\r\n\r\n"
    + BODY
)


async def test_each_service_that_is_not_ready_is_named_with_the_reason() -> None:
    async def serve(answer: bytes | None) -> asyncio.Server:
        async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            if answer is not None:
                writer.write(answer)
                await writer.drain()
            else:
                await reader.read()
            writer.close()

        return await asyncio.start_server(respond, "127.0.0.1", 0)

    servers = {
        "ingest": await serve(READY),
        "identity": await serve(NOT_READY),
        "profile": await serve(None),
        "segment": await serve(READY),
    }
    urls = {
        name: f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for name, server in servers.items()
    }
    servers["segment"].close()
    async with asyncio.timeout(HANG_S):
        problems = await load_problems(urls, timeout_s=0.5)
    assert problems.keys() == {"identity", "profile", "segment"}
    assert "postgres (StoreUnavailable)" in problems["identity"]
    assert "nats" not in problems["identity"]
    assert "hangs" in problems["profile"]
    assert "down" in problems["segment"]
    for server in servers.values():
        server.close()
