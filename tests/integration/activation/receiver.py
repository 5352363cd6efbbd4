"""A local HTTP receiver that responds by a script and records its requests."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

#: The response to one request: a status, or a handler.
Response = int | Callable[[web.Request], Awaitable[web.StreamResponse]]

CHUNK = b"x" * 65_536


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes
    #: Requests that were open when it arrived, including itself.
    concurrent: int

    @property
    def key(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """Responds to each key by its script; the last response of a script is repeated."""

    port: int = 0
    script: list[Response] = field(default_factory=lambda: [200])
    #: Scripts of paths, such as `/hang`.
    paths: dict[str, list[Response]] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    #: Bytes of a huge response that were sent.
    sent: int = 0
    connections: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    _open: int = 0
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def url(self, path: str = "/in", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    @property
    def target(self) -> str:
        """The entry of the private targets that allows this receiver."""
        return f"127.0.0.1:{self.port}"

    def keys(self, path: str = "/in") -> list[str]:
        return [each.key for each in self.received if each.path == path]

    async def respond(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self._open += 1
        headers = {k.lower(): v for k, v in request.headers.items()}
        headers["x-peer"] = str(request.transport and request.transport.get_extra_info("peername"))
        received = Received(request.path, headers, body, self._open)
        self.received.append(received)
        try:
            response = self._next_response(received)
            if isinstance(response, int):
                return web.Response(status=response)
            return await response(request)
        finally:
            self._open -= 1

    def _next_response(self, received: Received) -> Response:
        script = self.paths.get(received.path, self.script)
        key = (received.path, received.headers.get("webhook-id", ""))
        count = self._counts[key] = self._counts.get(key, 0) + 1
        return script[min(count, len(script)) - 1]

    async def hang(self, request: web.Request) -> web.StreamResponse:
        """Read the message, and respond when `released` is set."""
        await self.released.wait()
        return web.Response(status=200)

    async def reset(self, request: web.Request) -> web.StreamResponse:
        """Reset the connection."""
        assert request.transport is not None
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
        return web.Response(status=200)

    async def drip_body(self, request: web.Request) -> web.StreamResponse:
        """Respond with 200, and never end the body."""
        response = web.StreamResponse(status=200)
        await response.prepare(request)
        await response.write(b"x")
        await self.released.wait()
        return response

    async def drip_head(self, request: web.Request) -> web.StreamResponse:
        """Start to respond, and never end the head."""
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 200 O")
        await self.released.wait()
        return web.Response(status=200)

    async def huge(self, request: web.Request) -> web.StreamResponse:
        """Respond with 200 and an endless body."""
        response = web.StreamResponse(status=200)
        await response.prepare(request)
        while not self.released.is_set():
            await response.write(CHUNK)
            self.sent += len(CHUNK)
        return response

    async def nonsense(self, request: web.Request) -> web.StreamResponse:
        """Respond with something that is not HTTP."""
        assert request.transport is not None
        request.transport.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
        await self.released.wait()
        return web.Response()


def with_headers(status: int, **headers: str) -> Response:
    """Return a response with headers; `_` in a name means `-`."""

    async def respond(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return web.Response(status=status, headers=named)

    return respond


@asynccontextmanager
async def receiving(*, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    """Run a receiver on `port`; 0 = a free one."""
    receiver = Receiver()

    @web.middleware
    async def count(request: web.Request, handler: object) -> web.StreamResponse:
        return await receiver.respond(request)

    app = web.Application(middlewares=[count], client_max_size=1 << 24)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, reuse_address=True).start()
        receiver.port = runner.addresses[0][1]
        yield receiver
    finally:
        receiver.released.set()
        await runner.cleanup()
