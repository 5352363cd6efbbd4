"""Runs a gRPC server with two servicers, and with keys that need no database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from onefold.ingest.v1 import ingest_service_pb2 as ingest_pb
from onefold.ingest.v1 import ingest_service_pb2_grpc as ingest_grpc
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.projection.v1 import projection_service_pb2_grpc as projection_grpc
from service_fixtures import BUS_KEY

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.keys import hash_key
from services.chassis.access.principal import Principal, Role, principal
from services.chassis.access.tables import AccessKey
from services.chassis.rpc.server import RpcServer
from services.chassis.runtime.settings import ServiceSettings, internal_keys
from services.chassis.runtime.tasks import deadline
from services.chassis.runtime.telemetry import Metrics
from services.kernel import errors
from services.kernel.ids import SourceId, WorkspaceId

INTERNAL = "the-internal-key-of-this-test"
SOURCE, ADMIN, DISABLED = "ofk_source_test", "ofk_admin_test", "ofk_source_disabled"
KEYS = {
    hash_key(SOURCE): AccessKey(
        Principal(WorkspaceId("shop"), Role.SOURCE, "key_source", SourceId("web")), False
    ),
    hash_key(ADMIN): AccessKey(Principal(WorkspaceId("shop"), Role.ADMIN, "key_admin"), False),
    hash_key(DISABLED): AccessKey(Principal(WorkspaceId("shop"), Role.SOURCE, "key_off"), True),
}
INGEST = "/onefold.ingest.v1.IngestService/IngestEvents"
STREAM = "/onefold.ingest.v1.IngestService/StreamEvents"
STATUS = "/onefold.projection.v1.ProjectionService/GetStatus"
REBUILD = "/onefold.projection.v1.ProjectionService/Rebuild"
DIGEST = "/onefold.projection.v1.ProjectionService/GetDigest"
ALLOWED = {
    INGEST: frozenset({Role.SOURCE, Role.ADMIN}),
    STREAM: frozenset({Role.SOURCE}),
    STATUS: frozenset({Role.INTERNAL}),
    REBUILD: frozenset({Role.INTERNAL}),
}


@dataclass
class StubIngest(ingest_grpc.IngestServiceServicer):
    """Does what `act` does."""

    act: Callable[[], Awaitable[Any]] | None = None
    callers: list[Principal] = field(default_factory=list)
    deadlines: list[float | None] = field(default_factory=list)

    async def IngestEvents(self, request: Any, context: Any) -> Any:
        self.callers.append(principal())
        self.deadlines.append(deadline())
        if self.act:
            await self.act()
        return ingest_pb.IngestEventsResponse(accepted=len(request.events))

    async def StreamEvents(self, request_iterator: Any, context: Any) -> Any:
        async for request in request_iterator:
            self.callers.append(principal())
            result = ingest_pb.IngestEventsResponse(accepted=len(request.events))
            yield ingest_pb.StreamEventsResponse(result=result)


@dataclass
class StubProjection(projection_grpc.ProjectionServiceServicer):
    """A rebuild that never ends, unless `fail` is set."""

    fail: Exception | None = None
    #: Are sent before the rebuild goes on for ever.
    responses: list[projection_pb.RebuildResponse] = field(default_factory=list)
    #: How many of these were sent.
    sent: int = 0
    failing_status_calls: int = 0
    status_calls: int = 0
    ended: list[str] = field(default_factory=list)

    async def GetStatus(self, request: Any, context: Any) -> Any:
        self.status_calls += 1
        if self.status_calls <= self.failing_status_calls:
            raise errors.ServiceUnavailable("try again")
        return projection_pb.GetStatusResponse(service=principal().workspace_id)

    async def GetDigest(self, request: Any, context: Any) -> Any:
        raise AssertionError("not in the table of allowed roles")

    async def Rebuild(self, request: Any, context: Any) -> Any:
        try:
            yield projection_pb.RebuildResponse(done=1)
            if self.fail:
                raise self.fail
            for response in self.responses:
                yield response
                self.sent += 1
            await asyncio.Event().wait()
        finally:
            self.ended.append("rebuild")


async def load_key(key_hash: bytes) -> AccessKey | None:
    return KEYS.get(key_hash)


@dataclass
class Served:
    """A server under test."""

    port: int
    public_port: int
    ingest: StubIngest
    projection: StubProjection
    metrics: Metrics
    authenticator: Authenticator

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def public_url(self) -> str:
        return f"127.0.0.1:{self.public_port}"

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"onefold_test_{name}_total", labels) or 0.0


def _settings(**fields: Any) -> ServiceSettings:
    required = {"postgres_dsn": "x", "nats_url": "x", "internal_key": INTERNAL, "bus_key": BUS_KEY}
    return ServiceSettings(**{**required, "drain_s": 5.0, **fields})


@asynccontextmanager
async def serving(
    allowed: Mapping[str, frozenset[Role]] = ALLOWED, load: Any = load_key, **fields: Any
) -> AsyncIterator[Served]:
    """Serve the stub services, with the settings `fields`; `load` looks keys up."""
    settings, metrics = _settings(**fields), Metrics("test")
    authenticator = Authenticator(load, *internal_keys(settings), ttl_s=settings.key_cache_s)
    rpc = RpcServer(settings, authenticator, allowed, metrics)
    ingest, projection = StubIngest(), StubProjection()
    rpc.add(ingest_grpc.add_IngestServiceServicer_to_server, ingest, public=True)
    rpc.add(projection_grpc.add_ProjectionServiceServicer_to_server, projection)
    async with rpc:
        yield Served(rpc.internal_port, rpc.port, ingest, projection, metrics, authenticator)
