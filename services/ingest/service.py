"""Assembles ingest from its parts and runs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
from onefold.ingest.v1.admin_service_pb2_grpc import add_AdminServiceServicer_to_server
from onefold.ingest.v1.ingest_service_pb2_grpc import add_IngestServiceServicer_to_server
from onefold.log.v1.log_service_pb2_grpc import add_LogServiceServicer_to_server

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.tables import key_loader, region_loader
from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.postgres.database import Database, acquire
from services.chassis.postgres.migrate import migrate
from services.chassis.rpc.server import RpcServer
from services.chassis.runtime.tasks import background
from services.chassis.runtime.telemetry import Metrics, OperationsServer
from services.ingest.api import admin_grpc, ingest_grpc, log_grpc
from services.ingest.api.http import HttpEndpoint
from services.ingest.api.nats import NatsEndpoint
from services.ingest.bootstrap import bootstrap_workspace
from services.ingest.commands.admin import Administration, DefinitionAppender
from services.ingest.commands.intake import EventIntake
from services.ingest.commands.quarantine import Quarantine
from services.ingest.log import EventLog, LogRelay, Ticker
from services.ingest.log.log_clock import LogClock
from services.ingest.log.metrics import LogMetrics
from services.ingest.metrics import IngestMetrics
from services.ingest.projection.definitions import DefinitionProjection
from services.ingest.settings import IngestSettings
from services.ingest.store.definitions import DefinitionStore, SourceDirectory
from services.ingest.store.quarantine import QuarantineStore
from services.kernel.errors import StoreUnavailable

log = structlog.get_logger(__name__)

ALLOWED = {**ingest_grpc.ALLOWED, **admin_grpc.ALLOWED, **log_grpc.ALLOWED}
#: A start waits this long for NATS before it serves without it, seconds.
_NATS_START_S = 2.0


@dataclass(frozen=True, slots=True)
class Ingest:
    """The running service."""

    event_log: EventLog
    clock: LogClock
    definitions: DefinitionProjection
    administration: Administration
    rpc: RpcServer
    operations: OperationsServer
    nats: NatsEndpoint

    @property
    def grpc_port(self) -> int:
        return self.rpc.port

    @property
    def http_port(self) -> int:
        return self.operations.port

    async def refresh(self, every_s: float) -> None:
        """Fold the definitions, and observe the clock, that other replicas have appended to."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.definitions.refresh()
                self.clock.observe((await self.event_log.heads()).now_us)
            except StoreUnavailable:
                log.debug("refresh_postponed")


@asynccontextmanager
async def serve(settings: IngestSettings) -> AsyncIterator[Ingest]:
    """Run ingest until the scope ends."""
    dsn = settings.postgres_dsn.get_secret_value()
    await migrate(dsn, settings.service)
    metrics = Metrics(settings.service)
    async with (
        Database(dsn, settings.service, max_size=settings.postgres_connections) as database,
        JetStreamBus(settings.nats_url.get_secret_value(), name=settings.service) as bus,
        EventLog(database.pool, shards=settings.shards, metrics=LogMetrics(metrics)) as event_log,
    ):
        service = _assemble(settings, metrics, database, bus, event_log)
        await bootstrap_workspace(service.administration, settings)
        async with background(
            service.nats.run(),
            LogRelay(event_log, database, bus).run(),
            Ticker(event_log, interval_s=settings.tick_interval_s).run(),
            service.refresh(settings.definitions_poll_s),
        ):
            with suppress(TimeoutError):
                await asyncio.wait_for(service.nats.open.wait(), _NATS_START_S)
            async with service.rpc, service.operations.serving():
                yield service


def _assemble(
    settings: IngestSettings,
    metrics: Metrics,
    database: Database,
    bus: JetStreamBus,
    event_log: EventLog,
) -> Ingest:
    pool = database.pool
    clock = LogClock(lambda: event_log.recent.newest_us)
    authenticator = Authenticator(
        key_loader(pool),
        settings.internal_key.get_secret_value(),
        load_region=region_loader(pool),
        ttl_s=settings.key_cache_s,
    )
    sources, quarantine_store = SourceDirectory(pool), QuarantineStore(pool, settings.shards)
    definitions = DefinitionProjection(pool, [sources.invalidate, authenticator.invalidate])
    intake = EventIntake(event_log, quarantine_store, sources, clock)
    quarantine = Quarantine(intake, quarantine_store, clock)
    administration = Administration(
        DefinitionAppender(event_log, definitions, clock), definitions, DefinitionStore(pool)
    )
    ingest_metrics = IngestMetrics(metrics)
    http = HttpEndpoint(
        intake,
        quarantine,
        authenticator,
        ingest_metrics,
        max_body_bytes=settings.max_body_bytes,
        timeout_s=settings.http_timeout_s,
    )
    nats = NatsEndpoint(
        bus, intake, quarantine, authenticator, ingest_metrics, replicas=settings.nats_replicas
    )
    rpc = RpcServer(settings, authenticator, ALLOWED, metrics)
    rpc.add(
        add_IngestServiceServicer_to_server,
        ingest_grpc.IngestRpc(intake, quarantine, quarantine_store, ingest_metrics),
    )
    rpc.add(add_AdminServiceServicer_to_server, admin_grpc.AdminRpc(administration))
    may_advance = settings.clock_advance == "allowed"
    rpc.add(add_LogServiceServicer_to_server, log_grpc.LogRpc(event_log, may_advance=may_advance))

    async def check_postgres() -> None:
        async with acquire(pool) as conn:
            await conn.fetchval("SELECT 1")

    operations = OperationsServer(
        metrics,
        host=settings.host,
        port=settings.http_port,
        checks={"postgres": check_postgres},
        routes=http.routes(),
    )
    return Ingest(event_log, clock, definitions, administration, rpc, operations, nats)
