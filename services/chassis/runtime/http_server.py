"""Serves HTTP in the event loop of a service, within limits."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Self

import uvicorn
from prometheus_client import Counter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from services.chassis.runtime.http_errors import on_http_exception
from services.chassis.runtime.http_limits import ConnectionTable, HttpLimits
from services.chassis.runtime.http_protocol import BoundedHttpProtocol, CountCutOff, Table, bounded
from services.chassis.runtime.process_link import LINK_TO_PARENT
from services.chassis.runtime.shared_ports import share
from services.chassis.runtime.tasks import cancel_and_wait, task_scope
from services.chassis.runtime.tls import HANDSHAKE_S, TlsFiles, keep_current

_GRACE_S = 5
#: uvicorn calls `on_tick` ten times a second; connections are checked at every fifth call.
_TICKS_A_CHECK = 5
_DEFAULT_LIMITS = HttpLimits()


class HttpServer:
    """Serves an application of ASGI, or `routes`, over HTTP, in the event loop of the service.

    `cut_offs` counts the connections that were cut off, by their reasons. With the files of `tls`
    it serves over TLS only.
    """

    def __init__(
        self,
        served: ASGIApp | Sequence[BaseRoute],
        *,
        host: str,
        port: int,
        limits: HttpLimits = _DEFAULT_LIMITS,
        cut_offs: Counter | None = None,
        tls: TlsFiles | None = None,
    ) -> None:
        self._host = host
        #: The port it listens on; the requested one, or 0, before it serves.
        self.port = port
        #: The open connections.
        self.connections: Table = ConnectionTable(limits.within_files())
        self._cut_offs = cut_offs
        self._tls = tls
        self._app = served if callable(served) else _routed(served)

    def _count(self, reason: str) -> None:
        if self._cut_offs is not None:
            self._cut_offs.labels(reason).inc()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        """Serve inside the scope.

        Raises OSError if the port is taken or the files of TLS are wrong.
        """
        async with _current_context(self._tls) as tls:
            with _bound(self._host, self.port) as bound:
                self.port = bound.getsockname()[1]
                server = _Server(self._app, self.connections, self._count, tls)
                async with task_scope(server.serve(sockets=[bound])) as serving:
                    await server.ready.wait()
                    try:
                        yield self
                    finally:
                        server.should_exit = True
                        await serving


def _routed(routes: Sequence[BaseRoute]) -> ASGIApp:
    handlers: Any = {HTTPException: on_http_exception, Exception: on_http_exception}
    return Starlette(routes=routes, exception_handlers=handlers)


@asynccontextmanager
async def _current_context(files: TlsFiles | None) -> AsyncIterator[ssl.SSLContext | None]:
    """Provide the context of a server, which follows its files; None without files."""
    if files is None:
        yield None
        return
    context = files.context()
    reloading = asyncio.create_task(keep_current(context, files))
    try:
        yield context
    finally:
        await cancel_and_wait(reloading)


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if LINK_TO_PARENT is not None:
            share(bound)
        bound.bind((host, port))
        yield bound


class _Server(uvicorn.Server):
    """Runs uvicorn without its signal handlers, and sets `ready` when it listens."""

    def __init__(
        self, app: ASGIApp, connections: Table, count: CountCutOff, tls: ssl.SSLContext | None
    ) -> None:
        protocol: Any = partial(BoundedHttpProtocol, connections, count)
        super().__init__(
            uvicorn.Config(
                bounded(app),
                http=protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                # Which proxies are believed is a setting of the service.
                proxy_headers=False,
                timeout_keep_alive=int(connections.limits.head_s) + 1,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        self._connections = connections
        self._tls = tls
        self.ready = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._tls is None:
            await super().startup(sockets)
        else:
            await self._start_tls(self._tls, sockets or [])
        self.ready.set()

    async def _start_tls(self, tls: ssl.SSLContext, sockets: list[socket.socket]) -> None:
        """Listen as uvicorn does, with a time limit for handshakes, which it cannot set."""
        await self.lifespan.startup()
        kind: Any = self.config.http_protocol_class
        protocol = partial(
            kind, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        listen = asyncio.get_running_loop().create_server
        self.servers = [
            await listen(protocol, sock=each, ssl=tls, ssl_handshake_timeout=HANDSHAKE_S)
            for each in sockets
        ]
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_A_CHECK == 0:
            for connection in self._connections.expired(asyncio.get_running_loop().time()):
                connection.expire()
        return await super().on_tick(counter)
