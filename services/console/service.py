"""Assembles the console: the gateway, over channels to the services."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import grpc
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from services import SERVICES
from services.chassis.rpc.channel import open_bytes_channel
from services.chassis.rpc.tls import channel_credentials
from services.chassis.runtime.addresses import parse_networks
from services.chassis.runtime.http_limits import HttpLimits
from services.chassis.runtime.http_server import HttpServer
from services.chassis.runtime.run import Endpoints
from services.chassis.runtime.telemetry import Metrics, OperationsServer
from services.chassis.runtime.tls import public_files
from services.console.gateway.callers import KeyCheck
from services.console.gateway.connect import ConnectGateway
from services.console.gateway.errors import to_json
from services.console.gateway.methods import MethodTable, client_methods
from services.console.gateway.parts import GatewayParts
from services.console.gateway.plain import PlainGateway
from services.console.gateway.requests import GatewayLimits
from services.console.gateway.service_calls import ServiceCalls
from services.console.pages import ConsolePages
from services.console.sessions import SessionCalls, Sessions, SessionSealer
from services.console.settings import ConsoleSettings

#: Generated from the protos.
_OPENAPI = Path(__file__).resolve().parent / "openapi.json"


@asynccontextmanager
async def serve(settings: ConsoleSettings) -> AsyncIterator[Endpoints]:
    """Serve until the scope ends. Raises ValueError where the address of a service is missing."""
    metrics = Metrics(settings.service)
    tls, proxies = public_files(settings), parse_networks(settings.trusted_proxies)
    async with AsyncExitStack() as scope:
        channels = {
            name: await scope.enter_async_context(_channel(settings, name)) for name in SERVICES
        }
        limits = GatewayLimits(
            message_bytes=settings.max_message_bytes,
            stream_bytes=4 * settings.max_message_bytes,
            timeout_s=settings.call_timeout_s,
            proxies=proxies,
        )
        methods, calls = client_methods(), ServiceCalls(channels)
        key = settings.session_key
        sealer = SessionSealer(bytes.fromhex(key.get_secret_value()) if key else os.urandom(32))
        sessions = Sessions(sealer, settings.session_s)
        pages = ConsolePages(sessions, methods, calls, limits).routes()
        app = SessionCalls(gateway_app(methods, calls, limits, pages), sessions)
        public = HttpServer(
            app,
            host=settings.host,
            port=settings.http_port,
            limits=HttpLimits(proxies=proxies),
            cut_offs=metrics.http_cut_offs,
            tls=tls,
        )
        operations = OperationsServer(
            metrics, host=settings.internal_host, port=settings.internal_http_port, tls=tls
        )
        await scope.enter_async_context(operations.serving())
        await scope.enter_async_context(public.serving())
        yield Endpoints(http_port=public.port, internal_http_port=operations.port)


def gateway_app(
    methods: MethodTable, calls: ServiceCalls, limits: GatewayLimits, pages: Sequence[Route] = ()
) -> Starlette:
    """Return the application that serves every method, by Connect and as plain JSON, and pages."""
    parts = GatewayParts(methods, calls, limits, KeyCheck(methods, calls, limits))
    return Starlette(
        routes=[
            *pages,
            Route("/connect/{service}/{rpc:path}", ConnectGateway(parts)),
            Route("/api/openapi.json", _openapi),
            Route("/api/{service}/{name}", PlainGateway(parts)),
        ],
        exception_handlers={HTTPException: _on_http_exception},
    )


async def _openapi(_request: Request) -> Response:
    """Return the description of the plain calls."""
    return FileResponse(_OPENAPI, media_type="application/json")


async def _on_http_exception(_request: Request, error: Exception) -> Response:
    status = HTTPStatus(error.status_code if isinstance(error, HTTPException) else 500)
    message = "nothing is served at this path: calls are made at /api/SERVICE/METHOD"
    text = message if status is HTTPStatus.NOT_FOUND else status.phrase
    body = {"error": {"code": status.name.lower(), "message": text}}
    return Response(to_json(body), status, media_type="application/json")


def _channel(settings: ConsoleSettings, service: str) -> grpc.aio.Channel:
    url: str = getattr(settings, f"{service}_url")
    if not url:
        raise ValueError(
            f"set ONEFOLD_{service.upper()}_URL, the internal gRPC address of {service}"
        )
    return open_bytes_channel(url, channel_credentials(settings.tls_ca_file, None))
