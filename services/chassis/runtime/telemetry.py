"""Defines the metrics of a service and serves them and its health over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Self

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.chassis.runtime.http_server import HttpServer
from services.chassis.runtime.logs import safe_message
from services.chassis.runtime.process_link import LINK_TO_PARENT
from services.chassis.runtime.tls import TlsFiles

#: Seconds, from a lookup to a backlog.
LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
#: Items in a batch.
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000)

CHECK_TIMEOUT_S = 3.0

#: Returns if a part of the service can do its work, else raises.
Check = Callable[[], Awaitable[object]]

# Else each counter and histogram has a second family, with the instant at which it was made.
disable_created_metrics()


class Metrics:
    """The metrics of one service, named `onefold_<service>_<name>`, in their own registry.

    `/metrics` serves them together with those that modules define in the process's registry.
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self.registry = CollectorRegistry()

    def counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
        """Define a count that only grows; Prometheus adds `_total` to its name."""
        return Counter(self._named(name), meaning, labels, registry=self.registry)

    def gauge(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
        """Define a value that goes up and down."""
        return Gauge(self._named(name), meaning, labels, registry=self.registry)

    def histogram(
        self,
        name: str,
        meaning: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = LATENCY,
    ) -> Histogram:
        """Define a distribution that counts values up to each of `buckets`."""
        name = self._named(name)
        return Histogram(name, meaning, labels, registry=self.registry, buckets=buckets)

    def _named(self, name: str) -> str:
        return f"onefold_{self.service}_{name}"

    @cached_property
    def rpcs(self) -> Counter:
        return self.counter("rpcs", "Finished gRPC calls.", ["method", "code"])

    @cached_property
    def rpc_duration_seconds(self) -> Histogram:
        return self.histogram("rpc_duration_seconds", "Duration of successful calls.", ["method"])

    @cached_property
    def rejections(self) -> Counter:
        return self.counter("rejections", "Calls and events that were rejected.", ["reason"])

    @cached_property
    def bus_messages_rejected(self) -> Counter:
        return self.counter(
            "bus_messages_rejected",
            "Messages on the bus that were dropped because their MAC is not valid.",
            ["subject"],
        )

    @cached_property
    def bus_messages_of_other_lives(self) -> Counter:
        return self.counter(
            "bus_messages_of_other_lives",
            "Messages on the bus that were read upstream instead: another life of the stream, as"
            " after a restart, a failover or a restore.",
            ["subject"],
        )

    @cached_property
    def http_cut_offs(self) -> Counter:
        return self.counter(
            "http_cut_offs", "HTTP connections that were cut off at a limit.", ["reason"]
        )

    @cached_property
    def grpc_cut_offs(self) -> Counter:
        return self.counter(
            "grpc_cut_offs", "gRPC connections that were cut off at a limit.", ["reason"]
        )

    @cached_property
    def processes(self) -> Gauge:
        return self.gauge("processes", "Processes of the service that serve now.")

    @cached_property
    def database_isolated(self) -> Gauge:
        return self.gauge(
            "database_isolated", "1 where the database holds workspaces apart by roles, else 0."
        )

    @cached_property
    def access_rows_repaired(self) -> Counter:
        return self.counter(
            "access_rows_repaired", "Rows of keys, sources and workspaces repaired.", ["table"]
        )

    @cached_property
    def facts_folded(self) -> Counter:
        return self.counter("facts_folded", "Facts that were folded.", ["shard"])

    @cached_property
    def batch_size_facts(self) -> Histogram:
        return self.histogram("batch_size_facts", "Facts in one transaction.", buckets=SIZES)

    @cached_property
    def fold_duration_seconds(self) -> Histogram:
        return self.histogram(
            "fold_duration_seconds", "Duration of one batch, from load to commit."
        )

    @cached_property
    def fold_commit_seconds(self) -> Histogram:
        return self.histogram("fold_commit_seconds", "Duration of the commit of one batch.")

    @cached_property
    def cpu_budget_exceeded(self) -> Counter:
        return self.counter(
            "cpu_budget_exceeded",
            "Events, profiles and transactions that took more CPU time than they may.",
            ["work"],
        )

    @cached_property
    def failed_facts(self) -> Gauge:
        return self.gauge(
            "failed_facts", "Facts that the state lacks because their fold raises.", ["shard"]
        )

    @cached_property
    def parked_facts(self) -> Gauge:
        return self.gauge(
            "parked_facts", "Facts that the state lacks because an operator parked them.", ["shard"]
        )

    @cached_property
    def checkpoint_offset(self) -> Gauge:
        """The lag in facts is the head of ingest's log minus this."""
        return self.gauge(
            "checkpoint_offset", "The log offset after the last folded fact.", ["shard"]
        )

    @cached_property
    def lag_seconds(self) -> Gauge:
        return self.gauge(
            "lag_seconds", "How far the log's clock is ahead of the last folded fact.", ["shard"]
        )

    @cached_property
    def event_to_membership_seconds(self) -> Histogram:
        return self.histogram(
            "event_to_membership_seconds",
            "From recording an event in the log to publishing the membership change it causes.",
        )


class OperationsServer(HttpServer):
    """The HTTP endpoint for health and metrics, on the internal port of the service.

    `/healthz` returns 200 while the process lives; `/readyz` returns 200 if every check passes,
    else 503 with the names of the checks that fail; `/metrics` has the text format of Prometheus.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        host: str,
        port: int,
        checks: Mapping[str, Check] | None = None,
        notes: Callable[[], Mapping[str, object]] = dict,
        tls: TlsFiles | None = None,
    ) -> None:
        """`notes`: what /readyz also reports; it makes no service unready."""
        self._metrics = metrics
        self._checks = dict(checks or {})
        self._notes = notes
        routes = [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._serve_metrics),
        ]
        super().__init__(routes, host=host, port=port, cut_offs=metrics.http_cut_offs, tls=tls)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        """Serve inside the scope; a process of a group reports to its parent instead."""
        if LINK_TO_PARENT is None:
            async with super().serving():
                yield self
        else:
            LINK_TO_PARENT.report_with(self.report)
            yield self

    async def report(self) -> dict[str, object]:
        """Return both pages, for the parent of a group of processes."""
        return {"readiness": await self._readiness(), "metrics": self._page().decode()}

    async def _readiness(self) -> dict[str, object]:
        results = await asyncio.gather(*map(_run_check, self._checks.values()))
        checks = dict(zip(self._checks, results, strict=True))
        ready = all(result == "ok" for result in results)
        service = self._metrics.service
        return {"service": service, "ready": ready, "checks": checks, **self._notes()}

    def _page(self) -> bytes:
        return generate_latest(self._metrics.registry) + generate_latest(REGISTRY)

    async def _healthz(self, _request: Request) -> Response:
        return JSONResponse({"service": self._metrics.service, "alive": True})

    async def _readyz(self, _request: Request) -> Response:
        body = await self._readiness()
        return JSONResponse(body, status_code=200 if body["ready"] else 503)

    async def _serve_metrics(self, _request: Request) -> Response:
        return Response(self._page(), media_type=CONTENT_TYPE_LATEST)


async def _run_check(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except Exception as error:
        kind = type(error).__name__
        # The messages of our own errors say what to do, and hold nothing personal.
        is_own = type(error).__module__.startswith("services.")
        return f"{kind}: {safe_message(error)}" if is_own else kind
    return "ok"
