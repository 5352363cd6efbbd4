"""Ingest, put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

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
from services.chassis.runtime.telemetry import Metrics, OperationsServer
from services.ingest.api.http import HttpDoor
from services.ingest.api.ingest_grpc import ALLOWED, AdminRpc, IngestRpc
from services.ingest.api.log_grpc import ALLOWED as LOG_ALLOWED
from services.ingest.api.log_grpc import LogRpc
from services.ingest.api.nats import NatsDoor
from services.ingest.bootstrap import prepare
from services.ingest.codec.events import fold_access_told, read_definition, write_definition
from services.ingest.commands.admin import Administration
from services.ingest.commands.intake import Intake
from services.ingest.log import EventLog, LogRelay, Ticker
from services.ingest.log import metrics as meters
from services.ingest.log.log_clock import LogClock
from services.ingest.metrics import EventCounts
from services.ingest.settings import IngestSettings
from services.ingest.store.definitions import DefinitionStore, QuarantineStore
from services.kernel.errors import StoreUnavailable

log = structlog.get_logger(__name__)


#: How long a start waits for NATS before it serves without, seconds.
_BUS_PATIENCE_S = 2.0


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
            JetStreamBus(settings.nats_url.get_secret_value(), name=settings.service)
        )
        event_log = await scope.enter_async_context(EventLog(database.pool, shards=settings.shards))
        clock = LogClock(lambda: event_log.tail.newest_us)
        service = _assemble(settings, database, bus, event_log, clock)
        await prepare(
            service.administration,
            settings.admin_key,
            settings.data_dir,
            settings.default_region,
        )
        lives = (
            service.nats.run(),
            LogRelay(event_log, database, bus).run(),
            Ticker(event_log, interval_s=settings.tick_interval_s).run(),
            _keep_up(service, clock, settings.definitions_poll_s),
        )
        beside = await scope.enter_async_context(asyncio.TaskGroup())
        tasks = [beside.create_task(life) for life in lives]
        await _within(_BUS_PATIENCE_S, service.nats.open.wait())
        async with service.rpc, service.operations.serving():
            yield service
        for task in tasks:
            task.cancel()


def _assemble(
    settings: IngestSettings,
    database: Database,
    bus: JetStreamBus,
    event_log: EventLog,
    clock: LogClock,
) -> Ingest:
    metrics = Metrics(settings.service)
    for meter in (meters.FACTS, meters.GROUP, meters.COMMIT, meters.END, meters.RELAYED):
        metrics.registry.register(meter)
    counts = EventCounts(metrics)
    definitions = DefinitionStore(database.pool, read_definition, fold_access_told)
    quarantine = QuarantineStore(database.pool, settings.shards)
    authenticator = Authenticator(
        key_loader(database.pool),
        settings.internal_key.get_secret_value(),
        load_region=region_loader(database.pool),
        ttl_s=settings.key_cache_s,
    )
    intake = Intake(event_log, quarantine, definitions, clock)
    administration = Administration(
        event_log, definitions, clock, write_definition, authenticator.invalidate
    )
    rpc = RpcServer(settings, authenticator, {**ALLOWED, **LOG_ALLOWED}, metrics)
    log_rpc = LogRpc(event_log, may_advance=settings.clock_advance == "allowed")
    rpc.add(add_LogServiceServicer_to_server, log_rpc)
    rpc.add(add_IngestServiceServicer_to_server, IngestRpc(intake, quarantine, counts))
    rpc.add(add_AdminServiceServicer_to_server, AdminRpc(administration))
    http = HttpDoor(
        *(intake, authenticator, counts),
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
    nats = NatsDoor(bus, intake, authenticator, counts, replicas=settings.nats_replicas)
    return Ingest(event_log, intake, administration, rpc, operations, nats)


async def _within(seconds: float, what: Coroutine[Any, Any, object]) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(what, seconds)


async def _keep_up(service: Ingest, clock: LogClock, every_s: float) -> None:
    """Learn what other replicas have defined, and how far they have moved the clock."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await service.administration.catch_up()
            clock.learn((await service.event_log.heads()).now_us)
        except StoreUnavailable:
            log.debug("definitions_not_read")
