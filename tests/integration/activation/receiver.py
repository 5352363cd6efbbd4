"""A local HTTP receiver that answers as its script says and remembers what it got."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

#: How one request is answered: with a status, or by hand.
Answer = int | Callable[[web.Request], Awaitable[web.StreamResponse]]

CHUNK = b"x" * 65_536


@dataclass(frozen=True)
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes
    #: Requests that were open when it came, itself among them.
    together: int

    @property
    def key(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """Answers each key by its script; the last answer of a script is repeated."""

    port: int = 0
    script: list[Answer] = field(default_factory=lambda: [200])
    #: Scripts of paths, such as `/hang`.
    paths: dict[str, list[Answer]] = field(default_factory=dict)
    got: list[Got] = field(default_factory=list)
    #: Bytes of a huge answer that were taken.
    sent: int = 0
    connections: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    _open: int = 0
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def url(self, path: str = "/in", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def keys(self, path: str = "/in") -> list[str]:
        return [got.key for got in self.got if got.path == path]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self._open += 1
        headers = {k.lower(): v for k, v in request.headers.items()}
        headers["x-peer"] = str(request.transport and request.transport.get_extra_info("peername"))
        got = Got(request.path, headers, body, self._open)
        self.got.append(got)
        try:
            answer = self._next(got)
            if isinstance(answer, int):
                return web.Response(status=answer)
            return await answer(request)
        finally:
            self._open -= 1

    def _next(self, got: Got) -> Answer:
        script = self.paths.get(got.path, self.script)
        place = (got.path, got.headers.get("webhook-id", ""))
        count = self._counts[place] = self._counts.get(place, 0) + 1
        return script[min(count, len(script)) - 1]

    async def hang(self, request: web.Request) -> web.StreamResponse:
        """Take the message, and answer when it is released."""
        await self.released.wait()
        return web.Response(status=200)

    async def reset(self, request: web.Request) -> web.StreamResponse:
        """Cut the connection with a reset."""
        assert request.transport is not None
        bound = request.transport.get_extra_info("socket")
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
        return web.Response(status=200)

    async def drip_body(self, request: web.Request) -> web.StreamResponse:
        """Answer well, and then never come to the end of the body."""
        answer = web.StreamResponse(status=200)
        await answer.prepare(request)
        await answer.write(b"x")
        await self.released.wait()
        return answer

    async def drip_head(self, request: web.Request) -> web.StreamResponse:
        """Begin to answer, and never get to the end of the head."""
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 200 O")
        await self.released.wait()
        return web.Response(status=200)

    async def huge(self, request: web.Request) -> web.StreamResponse:
        """Answer well, with as much as is taken."""
        answer = web.StreamResponse(status=200)
        await answer.prepare(request)
        while not self.released.is_set():
            await answer.write(CHUNK)
            self.sent += len(CHUNK)
        return answer

    async def nonsense(self, request: web.Request) -> web.StreamResponse:
        """Answer something that is no HTTP."""
        assert request.transport is not None
        request.transport.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
        await self.released.wait()
        return web.Response()


def with_headers(status: int, **headers: str) -> Answer:
    """An answer with headers; `_` in a name stands for `-`."""

    async def answer(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return web.Response(status=status, headers=named)

    return answer


@asynccontextmanager
async def receiving(*, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    """A receiver on a free port, or on one that was free a moment ago."""
    receiver = Receiver()

    @web.middleware
    async def count(request: web.Request, handler: object) -> web.StreamResponse:
        return await receiver.answer(request)

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
