"""Runs the console before five services in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import grpc
from integration.whole.whole_system import WholeSystem, whole_system
from service_fixtures import HANG_S, MakeSettings
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from services.chassis.access.principal import Role
from services.chassis.access.rights import roles_of
from services.chassis.runtime.http_limits import HttpLimits
from services.chassis.runtime.http_server import HttpServer
from services.console.gateway.methods import Method, client_methods
from services.console.gateway.requests import GatewayLimits
from services.console.gateway.service_calls import ServiceCalls
from services.console.pages import ConsolePages
from services.console.service import gateway_app
from services.console.sessions import SessionCalls, Sessions, SessionSealer

METHODS = client_methods()
BUSY = {"error": {"code": "unavailable", "message": "busy"}}


@dataclass
class FailingCalls:
    """Answers some of the plain calls with 503, as where a service is away."""

    app: ASGIApp
    random: Random = field(default_factory=lambda: Random(3))
    #: The share of the calls that fail.
    share: float = 0.0
    #: The names of the methods whose next call fails.
    names: set[str] = field(default_factory=set)
    failed: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        name = path.rpartition("/")[2]
        is_call = path.startswith("/api/")
        if is_call and (name in self.names or self.random.random() < self.share):
            self.names.discard(name)
            self.failed += 1
            await JSONResponse(BUSY, HTTPStatus.SERVICE_UNAVAILABLE)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


@dataclass
class Console:
    """A running console, and a client of HTTP."""

    system: WholeSystem
    url: str
    http: aiohttp.ClientSession
    #: What lets calls fail; None where the console is another process.
    failing: FailingCalls | None = None

    def key_for(self, method: Method) -> str:
        """Return a key whose role may call a method."""
        found: Any = method.request.DESCRIPTOR.file.pool
        described = found.FindMethodByName(method.path[1:].replace("/", "."))
        is_sent = Role.SOURCE in roles_of(described)
        return (self.system.source if is_sent else self.system.admin).endpoints.key

    async def plain(
        self, service: str, name: str, message: Any = None, key: str | None = None
    ) -> tuple[int, Any]:
        """Make a plain call; return the status and the response."""
        headers = {"authorization": f"Bearer {key or self.system.admin.endpoints.key}"}
        url = f"{self.url}/api/{service}/{name}"
        async with self.http.post(url, json=message or {}, headers=headers) as response:
            return response.status, await response.json()


@asynccontextmanager
async def running_console(
    make_settings: MakeSettings, internal_key: str, data: Path
) -> AsyncIterator[Console]:
    """Run five services and the console."""
    async with AsyncExitStack() as scope:
        system = await scope.enter_async_context(whole_system(make_settings, internal_key, data))
        channels = {
            name: await scope.enter_async_context(grpc.aio.insecure_channel(address))
            for name, address in system.admin.endpoints.grpc.items()
        }
        upstream, limits = ServiceCalls(channels), GatewayLimits(timeout_s=HANG_S)
        sessions = Sessions(SessionSealer(b"k" * 32), 3600)
        pages = ConsolePages(sessions, METHODS, upstream, limits).routes()
        app = FailingCalls(SessionCalls(gateway_app(METHODS, upstream, limits, pages), sessions))
        # A call with a known key lasts longer than a stranger may wait.
        limits_of_http = HttpLimits(head_s=2.0)
        server = HttpServer(app, host="127.0.0.1", port=0, limits=limits_of_http)
        await scope.enter_async_context(server.serving())
        http = await scope.enter_async_context(aiohttp.ClientSession())
        yield Console(system, f"http://127.0.0.1:{server.port}", http, app)
