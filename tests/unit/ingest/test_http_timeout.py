"""Tests that a client which never ends its body is disconnected."""

from __future__ import annotations

import asyncio
from typing import Any

from service_fixtures import HANG_S

from services.chassis.runtime.http_server import HttpServer
from services.ingest.api.http import HttpEndpoint, HttpSettings

UNUSED: Any = None


async def test_body_that_does_not_arrive_in_time_is_refused() -> None:
    settings = HttpSettings(max_body_bytes=1_000, timeout_s=0.05, memory_bytes=1_000_000)
    endpoint = HttpEndpoint(UNUSED, UNUSED, settings, UNUSED, UNUSED)
    server = HttpServer(endpoint, host="127.0.0.1", port=0)
    async with server.serving(), asyncio.timeout(HANG_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert b" 408 " in await reader.readline()
        assert b"TOO_SLOW" in await reader.read(1_000)
        writer.close()
        await writer.wait_closed()
