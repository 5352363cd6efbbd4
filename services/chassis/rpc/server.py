"""Serves the gRPC endpoints of a service: a public one for clients, and an internal one.

The public endpoint serves the methods that clients of other systems may call, and nothing else. The
internal endpoint serves all methods and health, and accepts the key of the other services.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.principal import Principal, Role
from services.chassis.audit.log import AuditLog
from services.chassis.rpc.admission import Admission, CallLimits
from services.chassis.rpc.connection_limits import ConnectionLimits
from services.chassis.rpc.connections import ConnectionGuard
from services.chassis.rpc.guard import Guard, Sealing, is_served
from services.chassis.rpc.sealing import TokenSealer
from services.chassis.rpc.streams import Credentials
from services.chassis.rpc.tls import internal_files, server_credentials
from services.chassis.runtime.addresses import parse_networks
from services.chassis.runtime.own_sockets import file_limit
from services.chassis.runtime.process_link import LINK_TO_PARENT
from services.chassis.runtime.settings import ServiceSettings, internal_keys
from services.chassis.runtime.tasks import background
from services.chassis.runtime.telemetry import Metrics
from services.chassis.runtime.tls import TlsFiles, public_files

log = structlog.get_logger(__name__)

#: The roles that may call a method, by its path such as `/onefold.log.v1.LogService/Append`.
Allowed = Mapping[str, frozenset[Role]]

REFLECTION = f"/{reflection.SERVICE_NAME}/ServerReflectionInfo"
_MAX_CONCURRENT_CALLS = 10_000
_MAX_CALLS_OF_SOURCES = 8_000
#: gRPC refuses the newest connections above its own limit, so that one is this many times as high:
#: a burst has room until connections are closed.
_ROOM_FOR_BURSTS = 2
_MAX_CALLS_OF_WORKSPACE = _MAX_CONCURRENT_CALLS // 2
_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    # Two services on one port would share its calls unnoticed; the processes of one service do so.
    ("grpc.so_reuseport", int(LINK_TO_PARENT is not None)),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.server_handshake_timeout_ms", 3_000),
    # Clients reconnect now and then, and so find added replicas.
    ("grpc.max_connection_age_ms", 300_000),
)
#: What a stranger can hold of the public endpoint is bounded in number and in time.
_PUBLIC_OPTIONS = (
    # Calls that have ended count until they are cleared away: beyond some 50 calls at once on one
    # connection a client may get UNAVAILABLE, and calls again.
    ("grpc.max_concurrent_streams", 100),
    ("grpc.max_connection_idle_ms", 60_000),
    # Calls wait for a moment while strangers knock, up to these numbers, rather than fail.
    ("grpc.server.max_pending_requests", 10_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
    # Streams on a connection that has reached its age have this long to end by themselves.
    ("grpc.max_connection_age_grace_ms", 600_000),
)
#: A rebuild is one call that may last for hours, so the internal endpoint ends no calls.
_INTERNAL_OPTIONS = (("grpc.max_concurrent_streams", 1_000),)
_ANY_KEY = frozenset(Role)


class RpcServer:
    """The two grpc.aio servers of a service; `add` the services, then enter it.

    Leaving the scope reports NOT_SERVING, rejects new calls, ends the streams and lets the calls in
    flight end within `settings.drain_s`.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        authenticator: Authenticator,
        allowed: Allowed,
        metrics: Metrics,
        audit: AuditLog | None = None,
    ) -> None:
        """`audit`: where calls are recorded; None = nowhere."""
        self._allowed = allowed
        self._settings = settings
        self._authenticator = authenticator
        sealer = TokenSealer(internal_keys(settings))
        proxies = parse_networks(settings.trusted_proxies)

        async def authenticate(given: Credentials) -> Principal:
            return await authenticator.authenticate(given.key, given.peer)

        async def authenticate_internal(given: Credentials) -> Principal:
            workspace_id, peer = given.workspace_id, given.peer
            return await authenticator.authenticate_internal(given.key, workspace_id, peer)

        self._connections = _connection_guard(settings, metrics)
        connections, message = _size_options(settings, self._connections)
        self._public = _Endpoint(
            settings.host,
            settings.grpc_port,
            Guard(
                authenticate,
                authenticator.check_role,
                _for_clients(allowed),
                Admission(_call_limits(settings)),
                Sealing(sealer, for_clients=True),
                metrics,
                self._connections,
                proxies,
                audit,
            ),
            (*_OPTIONS, *_PUBLIC_OPTIONS, connections, message),
            public_files(settings),
        )
        self._internal = _Endpoint(
            settings.internal_host,
            settings.internal_grpc_port,
            Guard(
                authenticate_internal,
                authenticator.check_role,
                allowed,
                Admission(_call_limits(settings)),
                Sealing(sealer, for_clients=False),
                metrics,
                proxies=proxies,
                audit=audit,
            ),
            (*_OPTIONS, *_INTERNAL_OPTIONS, message),
            internal_files(settings),
        )
        self._watching = AsyncExitStack()
        self._health = health.aio.HealthServicer()
        self._servicers: list[object] = []

    @property
    def port(self) -> int:
        """The port for clients; the requested one, or 0, before the server is entered."""
        return self._public.port

    @property
    def internal_port(self) -> int:
        """The port for services and operators; as `port`."""
        return self._internal.port

    def add(
        self, register: Callable[[Any, Any], None], servicer: object, *, public: bool = False
    ) -> None:
        """Serve a service: `add(add_LogServiceServicer_to_server, LogRpc(…))`.

        `public`: serve it to clients of other systems too, except for the methods that only the
        other services may call. A method is a coroutine function, or an async generator function if
        it responds with a stream. Anything else, such as a method that the servicer does not
        define, is not served.
        """
        self._internal.add(register, servicer)
        if public:
            self._public.add(register, servicer)
        self._servicers.append(servicer)

    async def __aenter__(self) -> Self:
        """Listen. Raises ValueError if an allowed method is not served, and OSError."""
        if unknown := sorted(path for path in self._allowed if not self._serves(path)):
            raise ValueError(f"allowed, but not served: {', '.join(unknown)}")
        await self._add_health()
        if self._settings.reflection != "off":
            self._internal.add_reflection()
        if self._settings.reflection == "public":
            self._public.add_reflection()
        await self._internal.start()
        try:
            await self._public.start()
        except OSError:
            await self._internal.server.stop(None)
            raise
        endpoints = (self._public, self._internal)
        streams = [endpoint.guard.streams for endpoint in endpoints]
        watches = [watch() for each in streams for watch in (each.watch_keys, each.watch_messages)]
        await self._watching.enter_async_context(background(*watches))
        await self._watching.enter_async_context(self._connections.watching(self._public.port))
        for each in streams:
            self._authenticator.on_invalidate(each.recheck)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._health.enter_graceful_shutdown()
        endpoints = (self._public, self._internal)
        for endpoint in endpoints:
            endpoint.guard.streams.drain()
        drain_s = self._settings.drain_s
        await asyncio.gather(*(endpoint.server.stop(drain_s) for endpoint in endpoints))
        await self._watching.aclose()
        log.info("rpc_drained")

    def _serves(self, path: str) -> bool:
        name = path.rpartition("/")[2]
        return any(is_served(getattr(servicer, name, None)) for servicer in self._servicers)

    async def _add_health(self) -> None:
        self._internal.add(health_pb2_grpc.add_HealthServicer_to_server, self._health)
        for service in ("", health.SERVICE_NAME, *_service_names(self._allowed)):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)


class _GenericHandlers:
    """Adds the handlers of a service to a server, and does not register its methods.

    For each call grpc.aio waits once more for the next call of every registered method, with a task
    for each of them. The others have one task together.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, _service: str, _handlers: object) -> None:
        """Do nothing: the generic handlers serve the methods."""


class _Endpoint:
    """One grpc.aio server on one port, with its guard."""

    def __init__(
        self,
        host: str,
        port: int,
        guard: Guard,
        options: Sequence[tuple[str, int]],
        files: TlsFiles | None,
    ) -> None:
        self.port = port
        self.guard = guard
        self._files = files
        self._host = f"[{host}]" if ":" in host else host
        self.server = grpc.aio.server(
            interceptors=[guard], options=options, maximum_concurrent_rpcs=_MAX_CONCURRENT_CALLS
        )

    def add(self, register: Callable[[Any, Any], None], servicer: object) -> None:
        """Serve a service."""
        register(servicer, _GenericHandlers(self.server))

    def add_reflection(self) -> None:
        """Describe the services of this endpoint to callers with any key."""
        names = (*_service_names(self.guard.allowed), reflection.SERVICE_NAME)
        self.guard.allowed = {**self.guard.allowed, REFLECTION: _ANY_KEY}
        servicer = reflection.aio.ReflectionServicer(names)
        self.add(reflection_pb2_grpc.add_ServerReflectionServicer_to_server, servicer)

    async def start(self) -> None:
        """Listen. Raises OSError, also on files of TLS that cannot be used."""
        address = f"{self._host}:{self.port}"
        try:
            if self._files is None:
                self.port = self.server.add_insecure_port(address)
            else:
                credentials = server_credentials(self._files)
                self.port = self.server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: {error}") from error
        await self.server.start()


def _size_options(
    settings: ServiceSettings, connections: ConnectionGuard
) -> tuple[tuple[str, int], tuple[str, int]]:
    """Return the options for the most connections and the longest message."""
    most = _ROOM_FOR_BURSTS * connections.limits.connections
    return (
        ("grpc.max_allowed_incoming_connections", most),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
    )


def _call_limits(settings: ServiceSettings) -> CallLimits:
    return CallLimits(
        calls_per_key=settings.max_calls_per_key,
        streams_per_key=settings.max_streams_per_key,
        calls_of_sources=_MAX_CALLS_OF_SOURCES,
        calls_per_workspace=_MAX_CALLS_OF_WORKSPACE,
    )


def _connection_guard(settings: ServiceSettings, metrics: Metrics) -> ConnectionGuard:
    limits = ConnectionLimits(
        connections=settings.max_grpc_connections,
        per_address=settings.max_grpc_connections_per_address,
    )
    proxies = parse_networks(settings.trusted_proxies)
    return ConnectionGuard(limits.within_files(file_limit()), proxies, metrics.grpc_cut_offs)


def _for_clients(allowed: Allowed) -> Allowed:
    """Return the methods that clients may call, without the role of the other services."""
    roles = {path: each - {Role.INTERNAL} for path, each in allowed.items()}
    return {path: each for path, each in roles.items() if each}


def _service_names(allowed: Allowed) -> list[str]:
    return sorted({path.split("/")[1] for path in allowed})
