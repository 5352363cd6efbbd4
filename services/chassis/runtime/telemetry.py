"""What a service tells those who watch it: metrics, and an HTTP door for them and for health."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property

import uvicorn
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from services.chassis.runtime.tasks import task_scope

#: Seconds, from a lookup to a backlog.
LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
#: Things in a batch.
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000)

CHECK_TIMEOUT_S = 3.0
_GRACE_S = 5

#: Returns where a part of the service can do its work; raises where it cannot.
Check = Callable[[], Awaitable[object]]


class Metrics:
    """The metrics of one service, called `onefold_<service>_<name>`, in a registry of its own.

    `/metrics` tells them together with those that modules made in the registry of the process.
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self.registry = CollectorRegistry()

    def counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
        """A count that only grows; `_total` is added to its name."""
        return Counter(self._named(name), meaning, labels, registry=self.registry)

    def gauge(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
        """A value that goes up and down."""
        return Gauge(self._named(name), meaning, labels, registry=self.registry)

    def histogram(
        self,
        name: str,
        meaning: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = LATENCY,
    ) -> Histogram:
        """How often a value lay below each of `buckets`."""
        return Histogram(
            self._named(name), meaning, labels, registry=self.registry, buckets=buckets
        )

    def _named(self, name: str) -> str:
        return f"onefold_{self.service}_{name}"

    @cached_property
    def calls(self) -> Counter:
        """Calls answered, by `method` and `code`."""
        return self.counter("calls", "Calls that were answered.", ["method", "code"])

    @cached_property
    def call_seconds(self) -> Histogram:
        """How long calls took, by `method`."""
        return self.histogram("call_seconds", "How long calls took.", ["method"])

    @cached_property
    def refused(self) -> Counter:
        """Calls and events that were refused, by `reason`."""
        return self.counter("refused", "Calls and events that were refused.", ["reason"])

    @cached_property
    def facts_folded(self) -> Counter:
        """Facts that were folded, by `shard`."""
        return self.counter("facts_folded", "Facts that were folded.", ["shard"])

    @cached_property
    def batch_facts(self) -> Histogram:
        """Facts a transaction."""
        return self.histogram("batch_facts", "Facts in one transaction.", buckets=SIZES)

    @cached_property
    def fold_seconds(self) -> Histogram:
        """How long one batch took, from load to commit."""
        return self.histogram("fold_seconds", "How long one batch took, from load to commit.")

    @cached_property
    def log_offset(self) -> Gauge:
        """How far the log is taken in, by `shard`: less than ingest's head by the lag in facts."""
        return self.gauge("log_offset", "The offset after the last fact taken in.", ["shard"])

    @cached_property
    def lag_seconds(self) -> Gauge:
        """How far the log's clock is ahead, by `shard`."""
        return self.gauge("lag_seconds", "How far the log's clock is ahead.", ["shard"])

    @cached_property
    def event_to_membership_seconds(self) -> Histogram:
        """From the log learning an event to the membership that follows being announced."""
        return self.histogram(
            "event_to_membership_seconds",
            "From the log learning an event to the membership that follows being announced.",
        )


class OperationsServer:
    """The HTTP door, in the loop of the service.

    `/healthz` answers while the process lives; `/readyz` answers 200 where every check passes,
    else 503 with the names of those that do not; `/metrics` is the text format of Prometheus.
    `routes` are served beside them.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        host: str,
        port: int,
        checks: Mapping[str, Check] | None = None,
        routes: Sequence[BaseRoute] = (),
    ) -> None:
        self._metrics = metrics
        self._checks = dict(checks or {})
        self._host = host
        self._wanted_port = port
        self._port = 0
        own = [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._tell_metrics),
        ]
        self._app = Starlette(routes=[*own, *routes])

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[OperationsServer]:
        """Serve inside the scope. Raises OSError where the port is taken."""
        with _bound(self._host, self._wanted_port) as bound:
            self._port = bound.getsockname()[1]
            server = _Server(self._app)
            async with task_scope(server.serve(sockets=[bound])) as served:
                await server.ready.wait()
                try:
                    yield self
                finally:
                    server.should_exit = True
                    await served

    async def _healthz(self, _request: Request) -> Response:
        return JSONResponse({"service": self._metrics.service, "alive": True})

    async def _readyz(self, _request: Request) -> Response:
        outcomes = await asyncio.gather(*map(_passes, self._checks.values()))
        checks = dict(zip(self._checks, outcomes, strict=True))
        ready = all(outcome == "ok" for outcome in outcomes)
        body = {"service": self._metrics.service, "ready": ready, "checks": checks}
        return JSONResponse(body, status_code=200 if ready else 503)

    async def _tell_metrics(self, _request: Request) -> Response:
        told = generate_latest(self._metrics.registry) + generate_latest(REGISTRY)
        return Response(told, media_type=CONTENT_TYPE_LATEST)


async def _passes(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except Exception as error:
        return type(error).__name__
    return "ok"


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        yield bound


class _Server(uvicorn.Server):
    """uvicorn, which leaves the signals to the runtime and tells when it listens."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        self.ready = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()
