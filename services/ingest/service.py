"""Ingest, put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from onefold.ingest.v1.admin_service_pb2_grpc import add_AdminServiceServicer_to_server
from onefold.ingest.v1.ingest_service_pb2_grpc import add_IngestServiceServicer_to_server

from services.chassis.auth import Authenticator, load_from
from services.chassis.bus import Bus
from services.chassis.database import Database, acquire
from services.chassis.migrate import migrate
from services.chassis.rpc import RpcServer
from services.chassis.telemetry import Metrics, OperationsServer
from services.ingest.admin import Administration
from services.ingest.app import Intake
from services.ingest.bus import NatsDoor
from services.ingest.clock import LogClock
from services.ingest.first_start import prepare
from services.ingest.http import HttpDoor
from services.ingest.log import EventLog
from services.ingest.rpc import ALLOWED, AdminRpc, IngestRpc
from services.ingest.settings import IngestSettings
from services.ingest.store import DefinitionStore, QuarantineStore
from services.ingest.wire import fold_access_told, read_definition, write_definition
from services.kernel.errors import StoreUnavailable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ingest:
    """The service while it runs."""

    event_log: EventLog
    intake: Intake
    administration: Administration
    rpc: RpcServer
    operations: OperationsServer
    nats: NatsDoor

    @property
    def grpc_port(self) -> int:
        """Where the gRPC door listens."""
        return self.rpc.port

    @property
    def http_port(self) -> int:
        """Where the HTTP door listens."""
        return self.operations.port


@asynccontextmanager
async def serve(settings: IngestSettings) -> AsyncIterator[Ingest]:
    """Ingest, ready to be called, until the scope ends."""
    dsn = settings.postgres_dsn.get_secret_value()
    await migrate(dsn, settings.service)
    async with AsyncExitStack() as scope:
        database = await scope.enter_async_context(
            Database(dsn, settings.service, max_size=settings.postgres_connections)
        )
        bus = await scope.enter_async_context(
            Bus(settings.nats_url.get_secret_value(), name=settings.service)
        )
        event_log = await scope.enter_async_context(EventLog(database.pool, shards=settings.shards))
        service = _assemble(settings, database, bus, event_log)
        await prepare(service.administration, settings.admin_key, settings.data_dir)
        beside = await scope.enter_async_context(asyncio.TaskGroup())
        tasks = [
            beside.create_task(service.nats.run(), name="nats-door"),
            beside.create_task(
                _keep_up(service.administration, settings.definitions_poll_s), name="definitions"
            ),
        ]
        async with service.rpc, service.operations.serving():
            yield service
        for task in tasks:
            task.cancel()


def _assemble(
    settings: IngestSettings, database: Database, bus: Bus, event_log: EventLog
) -> Ingest:
    metrics = Metrics(settings.service)
    events = metrics.counter("events", "What became of events.", ["door", "outcome"])
    clock = LogClock()
    definitions = DefinitionStore(database.pool, read_definition, fold_access_told)
    quarantine = QuarantineStore(database.pool, settings.shards)
    authenticator = Authenticator(
        load_from(database.pool),
        settings.internal_key.get_secret_value(),
        ttl_s=settings.key_cache_s,
    )
    intake = Intake(event_log, quarantine, definitions, clock)
    administration = Administration(
        event_log, definitions, clock, write_definition, authenticator.forget
    )
    rpc = RpcServer(settings, authenticator, ALLOWED, metrics)
    rpc.add(add_IngestServiceServicer_to_server, IngestRpc(intake, quarantine, events))
    rpc.add(add_AdminServiceServicer_to_server, AdminRpc(administration))
    http = HttpDoor(
        *(intake, authenticator, events),
        max_body_bytes=settings.max_body_bytes,
        timeout_s=settings.http_timeout_s,
    )

    async def postgres_answers() -> None:
        async with acquire(database.pool) as conn:
            await conn.fetchval("SELECT 1")

    operations = OperationsServer(
        metrics,
        host=settings.host,
        port=settings.http_port,
        checks={"postgres": postgres_answers},
        routes=http.routes(),
    )
    nats = NatsDoor(bus, intake, authenticator, events, replicas=settings.nats_replicas)
    return Ingest(event_log, intake, administration, rpc, operations, nats)


async def _keep_up(administration: Administration, every_s: float) -> None:
    """Learn what other replicas have defined."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await administration.catch_up()
        except StoreUnavailable:
            log.debug("definitions_not_read")
