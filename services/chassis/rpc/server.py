"""Serves the gRPC endpoint of a service: health and reflection are open, the rest is guarded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.principal import Role
from services.chassis.rpc.guard import Guard, is_served
from services.chassis.runtime.settings import ServiceSettings
from services.chassis.runtime.telemetry import Metrics

log = structlog.get_logger(__name__)

#: The roles that may call a method, by its path such as `/onefold.log.v1.LogService/Append`.
Allowed = Mapping[str, frozenset[Role]]

_MAX_CONCURRENT_CALLS = 10_000
_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # two services on one port would share its calls unnoticed
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    # Clients reconnect now and then, and so find added replicas.
    ("grpc.max_connection_age_ms", 300_000),
)


class RpcServer:
    """A grpc.aio server with health, reflection and a guard; `add` the services, then enter it.

    Leaving the scope reports NOT_SERVING, rejects new calls, ends the streams and lets the calls in
    flight end within `settings.drain_s`.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        authenticator: Authenticator,
        allowed: Allowed,
        metrics: Metrics,
    ) -> None:
        #: The port it listens on; the requested one, or 0, before it is entered.
        self.port = settings.grpc_port
        self._host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self._drain_s = settings.drain_s
        self._guard = Guard(authenticator, allowed, metrics)
        self._allowed = allowed
        self._server = grpc.aio.server(
            interceptors=[self._guard],
            options=(*_OPTIONS, ("grpc.max_receive_message_length", settings.max_message_bytes)),
            maximum_concurrent_rpcs=_MAX_CONCURRENT_CALLS,
        )
        self._health = health.aio.HealthServicer()
        self._servicers: list[object] = []

    def add(self, register: Callable[[Any, Any], None], servicer: object) -> None:
        """Serve a service: `add(add_LogServiceServicer_to_server, LogRpc(…))`.

        A method is a coroutine function, or an async generator function if it responds with a
        stream. Anything else, such as a method that the servicer does not define, is not served.
        """
        register(servicer, self._server)
        self._servicers.append(servicer)

    async def __aenter__(self) -> Self:
        """Listen. Raises ValueError if an allowed method is not served, and OSError."""
        if unknown := sorted(path for path in self._allowed if not self._serves(path)):
            raise ValueError(f"allowed, but not served: {', '.join(unknown)}")
        await self._add_open_services()
        address = f"{self._host}:{self.port}"
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: {error}") from error
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._health.enter_graceful_shutdown()
        self._guard.streams.end()
        await self._server.stop(self._drain_s)
        log.info("rpc_drained")

    def _serves(self, path: str) -> bool:
        name = path.rpartition("/")[2]
        return any(is_served(getattr(servicer, name, None)) for servicer in self._servicers)

    async def _add_open_services(self) -> None:
        services = {path.split("/")[1] for path in self._allowed}
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        for service in ("", health.SERVICE_NAME, *services):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
