"""A small HTTP server with low limits, and the raw requests that strangers send to it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

from service_fixtures import HANG_S
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.chassis.runtime.http_limits import HttpLimits
from services.chassis.runtime.http_protocol import trust_connection
from services.chassis.runtime.http_server import HttpServer

HEAD_LIMIT = 4096
#: Low, so that a test waits for a moment only.
LIMITS = HttpLimits(
    head_bytes=HEAD_LIMIT,
    headers=20,
    head_s=0.3,
    connections=20,
    connections_per_address=0,
    pipelined=4,
    framing_bytes=2_000,
    unread_s=0.3,
)
REQUEST = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
OPEN_HEAD = b"POST /echo HTTP/1.1\r\nHost: x\r\n"


@dataclass
class Server:
    """A running server; `/echo` returns how many bytes a body has."""

    http: HttpServer
    cut_offs: Counter[str] = field(default_factory=Counter)
    #: The endpoint `/hold` responds when this is set.
    released: asyncio.Event = field(default_factory=asyncio.Event)
    connections: list[Connection] = field(default_factory=list)

    async def connect(self, sent: bytes = b"", **options: Any) -> Connection:
        """Open a connection and send something."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.http.port, **options)
        connection = Connection(reader, writer)
        self.connections.append(connection)
        await connection.send(sent)
        return connection

    async def answer(self, *parts: bytes) -> bytes:
        """Return all that is received on one connection after these parts, until it is closed."""
        connection = await self.connect()
        for part in parts:
            await connection.send(part)
        return await connection.rest()


@dataclass
class Connection:
    """A client's side of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> int:
        """Send, and return how much was sent before the server closed the connection."""
        sent = 0
        try:
            for start in range(0, len(data), 65_536):
                self.writer.write(data[start : start + 65_536])
                await self.writer.drain()
                sent = start + 65_536
        except (ConnectionError, RuntimeError):  # uvloop refuses to write to a closed one
            pass
        return min(sent, len(data))

    async def response(self) -> tuple[int, bytes]:
        """Return the status and the body of the next response; raise where there is none."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        status = int(head.split()[1])
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        return status, await self.reader.readexactly(length)

    async def trickle(self) -> bytes:
        """Send a byte now and then, until the server closes; return what was received."""
        receiving = asyncio.ensure_future(self.rest())
        while not (await asyncio.wait({receiving}, timeout=0.02))[0]:
            await self.send(b"a")
        return await receiving

    async def rest(self) -> bytes:
        """Return what is received until the server closes the connection."""
        received = b""
        try:
            while part := await self.reader.read(65_536):
                received += part
        except ConnectionError:
            pass
        self.writer.close()
        return received


class CutOffs:
    """A counter of Prometheus, as far as the server uses it."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def labels(self, reason: str) -> Any:
        """Return what counts a reason."""
        return SimpleNamespace(inc=lambda: self.counts.update([reason]))


@asynccontextmanager
async def serving(**limits: Any) -> AsyncIterator[Server]:
    """Run a server with LIMITS and changes of them; its clients have 20 seconds."""

    async def echo(request: Request) -> Response:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
        return JSONResponse({"size": size})

    async def unread(_request: Request) -> Response:
        return JSONResponse({})

    async def hold(request: Request) -> Response:
        trust_connection(request.scope)
        await server.released.wait()
        return JSONResponse({})

    async def slow(request: Request) -> Response:
        await server.released.wait()
        return await echo(request)

    async def large(_request: Request) -> Response:
        return Response(b"x" * (8 << 20))

    paths = {"/echo": echo, "/unread": unread, "/hold": hold, "/slow": slow, "/large": large}
    routes = [Route(path, call, methods=["GET", "POST"]) for path, call in paths.items()]
    counter = CutOffs()
    http = HttpServer(
        routes,
        host="127.0.0.1",
        port=0,
        limits=replace(LIMITS, **limits),
        cut_offs=cast(Any, counter),
    )
    server = Server(http, counter.counts)
    async with http.serving(), asyncio.timeout(HANG_S):
        yield server
        for connection in server.connections:
            connection.writer.transport.abort()
