"""The gRPC door of a service: open for health and reflection, guarded for everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.principal import Role
from services.chassis.rpc.guard import Guard, is_served
from services.chassis.runtime.deadlines import deadline
from services.chassis.runtime.settings import ServiceSettings
from services.chassis.runtime.telemetry import Metrics

__all__ = ["Allowed", "RpcServer", "deadline", "within"]

log = structlog.get_logger(__name__)

#: The roles that may call a method, by its full name such as `/onefold.log.v1.LogService/Append`.
Allowed = Mapping[str, frozenset[Role]]

_MOST_CALLS = 10_000


class RpcServer:
    """A grpc.aio server with health, reflection and a guard; `add` the services, then enter it.

    Leaving the scope tells NOT_SERVING, takes no more calls, ends the streams and lets the calls in
    flight end within `settings.drain_s`.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        authenticator: Authenticator,
        allowed: Allowed,
        metrics: Metrics,
    ) -> None:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self._address = f"{host}:{settings.grpc_port}"
        self._drain_s = settings.drain_s
        self._guard = Guard(authenticator, allowed, metrics)
        self._allowed = allowed
        self._server = grpc.aio.server(
            options=_options(settings.max_message_bytes), maximum_concurrent_rpcs=_MOST_CALLS
        )
        self._health = health.aio.HealthServicer()
        self._methods: set[str] = set()
        self._services: list[str] = []
        self._port = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    def add(self, register: Callable[[Any, Any], None], servicer: Any) -> None:
        """Serve a service: `add(add_LogServiceServicer_to_server, LogRpc(…))`.

        A method is a coroutine function, or an async generator function where it answers with a
        stream. What is neither, such as a method that the servicer does not define, is not served.
        """
        taken = _Taken()
        register(servicer, taken)
        for service, handlers in taken.services.items():
            guarded = {
                name: self._guard.wrap(f"/{service}/{name}", handler)
                for name, handler in handlers.items()
                if is_served(handler)
            }
            generic = grpc.method_handlers_generic_handler(service, guarded)
            self._server.add_generic_rpc_handlers((generic,))
            self._server.add_registered_method_handlers(service, guarded)
            self._services.append(service)
            self._methods.update(f"/{service}/{name}" for name in guarded)

    async def __aenter__(self) -> Self:
        """Listen. Raises ValueError where a method is allowed that is not served, and OSError."""
        if unknown := sorted(self._allowed.keys() - self._methods):
            raise ValueError(f"allowed, but not served: {', '.join(unknown)}")
        await self._add_open_services()
        try:
            self._port = self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._address}: {error}") from error
        await self._server.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._health.enter_graceful_shutdown()
        self._guard.streams.end()
        await self._server.stop(self._drain_s)
        log.info("rpc_drained")

    async def _add_open_services(self) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        for service in ("", health.SERVICE_NAME, *self._services):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        names = (*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)


def _options(max_message_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),  # two services on one port would share its calls in silence
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        # Clients connect anew now and then, and so find the replicas that were added.
        ("grpc.max_connection_age_ms", 300_000),
    ]


class _Taken:
    """Stands in for a server where generated code registers its methods."""

    def __init__(self) -> None:
        self.services: dict[str, dict[str, Any]] = {}

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """The same methods again, without their names."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        self.services[service] = handlers
