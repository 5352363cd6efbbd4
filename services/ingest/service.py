"""Assembles ingest from its parts and serves it."""

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
from services.chassis.bootstrap import ServiceContext, open_service
from services.chassis.postgres.database import Database
from services.chassis.rpc.sealing import TokenSealer
from services.chassis.rpc.server import RpcServer
from services.chassis.runtime.http_limits import HttpLimits
from services.chassis.runtime.http_server import HttpServer
from services.chassis.runtime.run import Endpoints
from services.chassis.runtime.settings import internal_keys
from services.chassis.runtime.tasks import background
from services.chassis.runtime.tls import public_files
from services.ingest.api import admin_grpc, ingest_grpc, log_grpc
from services.ingest.api.http import HttpEndpoint, HttpSettings
from services.ingest.api.http_receipts import ReceiptDoor
from services.ingest.api.nats import NatsEndpoint
from services.ingest.commands import limits
from services.ingest.commands.admin import Administration
from services.ingest.commands.bootstrap import bootstrap_workspace
from services.ingest.commands.duplicates import recording
from services.ingest.commands.erasure import ErasureCommands, carrying_out, guard_of
from services.ingest.commands.intake import EventIntake
from services.ingest.commands.keys import KeyCommands
from services.ingest.commands.refused_calls import RefusedCalls
from services.ingest.domain.duplicates import DuplicateCounts
from services.ingest.log import EventLog, LogRelay
from services.ingest.log.clock import LogClock, tick_while_idle
from services.ingest.log.event_feed import EventFeed
from services.ingest.projection.definitions import DefinitionProjection
from services.ingest.settings import IngestSettings
from services.ingest.store.definitions import DefinitionStore, SourceDirectory
from services.ingest.store.duplicates import DuplicateStore
from services.ingest.store.erasures import BlockedIdentifiers, ErasureStore
from services.ingest.store.key_uses import KeyUseStore
from services.ingest.store.quarantine import QuarantineStore
from services.ingest.store.receipts import ErasureReceipts
from services.kernel.index_key import IndexKey

log = structlog.get_logger(__name__)

ALLOWED = {**ingest_grpc.ALLOWED, **admin_grpc.ALLOWED, **log_grpc.ALLOWED}
#: A start waits this long for NATS before it serves without it, seconds.
_NATS_START_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest(Endpoints):
    """The running service."""

    administration: Administration
    event_log: EventLog
    nats: NatsEndpoint


@asynccontextmanager
async def serve(settings: IngestSettings) -> AsyncIterator[Ingest]:
    """Serve ingest until the scope ends."""
    index_key = IndexKey.parse(settings.index_key.get_secret_value())
    async with (
        open_service(settings, has_state=False, index_key=index_key) as base,
        _event_log(base, settings, index_key) as event_log,
        base.channel(settings.activation_url) as activation,
    ):
        database, authenticator = base.database, base.authenticator
        pool, api_pool = database.pool, database.api_pool
        sources, quota = SourceDirectory(api_pool), limits.quarantine_quota(settings)
        quarantine = QuarantineStore(api_pool, pool, settings.shards, quota)
        definitions = DefinitionProjection(pool, [sources.invalidate, authenticator.invalidate])
        store, blocked = DefinitionStore(api_pool), BlockedIdentifiers(pool)
        erasures = _erasures(settings, event_log, database, store)
        administration = Administration(event_log, definitions, store)
        refused = RefusedCalls(event_log, store)
        keys = KeyCommands(administration, store, KeyUseStore(pool, api_pool), refused)
        await bootstrap_workspace(administration, keys, settings)
        await _replay_erasures(erasures, definitions, blocked)
        counts, duplicates = DuplicateCounts(), DuplicateStore(api_pool, pool)
        rates, metrics = limits.producer_limits(settings), event_log.metrics
        intake = EventIntake(event_log, quarantine, sources, rates, metrics, counts, blocked)
        sealer = TokenSealer(internal_keys(settings))
        door = ReceiptDoor(activation, intake, settings.http_timeout_s)
        http = _http_endpoint(settings, intake, authenticator, sealer, door)
        nats = NatsEndpoint(base.bus, intake, authenticator, index_key=index_key, sealer=sealer)
        may_advance = settings.clock_advance == "allowed"
        log_rpc = log_grpc.LogRpc(event_log, may_advance=may_advance, blocked=blocked)
        ingest_rpc = ingest_grpc.IngestRpc(intake, quarantine, duplicates, EventFeed(event_log))
        admin_rpc = admin_grpc.AdminRpc(administration, keys, refused, erasures)
        rpc = _rpc(base, ingest_rpc, admin_rpc, log_rpc)
        events = _http_server(base, http, settings, limits.http_limits(settings))
        async with (
            recording(counts, duplicates, event_log, days=settings.duplicate_days),
            background(
                nats.run(),
                LogRelay(event_log, database, base.bus).run(),
                tick_while_idle(event_log, interval_s=settings.tick_interval_s),
                _refresh(definitions, blocked, event_log, settings.definitions_poll_s),
                carrying_out(erasures, definitions),
                authenticator.uses.run(keys.record_uses),
                limits.expire_quarantine(event_log, quarantine, days=settings.quarantine_days),
            ),
        ):
            with suppress(TimeoutError):
                await asyncio.wait_for(nats.open.wait(), _NATS_START_S)
            operations = base.operations()
            async with rpc, events.serving(), operations.serving():
                yield Ingest(
                    grpc_port=rpc.port,
                    internal_grpc_port=rpc.internal_port,
                    internal_http_port=operations.port,
                    http_port=events.port,
                    administration=administration,
                    event_log=event_log,
                    nats=nats,
                )


def _event_log(base: ServiceContext, settings: IngestSettings, index_key: IndexKey) -> EventLog:
    return EventLog(
        base.database.pool,
        shards=settings.shards,
        index_key=index_key,
        api_pool=base.database.api_pool,
        metrics=base.metrics,
        clock=LogClock(max_ahead_s=settings.max_clock_ahead_s),
        guard=guard_of(index_key),
    )


def _http_endpoint(
    settings: IngestSettings,
    intake: EventIntake,
    authenticator: Authenticator,
    sealer: TokenSealer,
    door: ReceiptDoor,
) -> HttpEndpoint:
    own = HttpSettings(
        max_body_bytes=settings.max_body_bytes,
        timeout_s=settings.http_timeout_s,
        memory_bytes=settings.http_memory_bytes,
        proxies=limits.http_limits(settings).proxies,
    )
    return HttpEndpoint(intake, authenticator, own, sealer, door)


def _http_server(
    base: ServiceContext, http: HttpEndpoint, settings: IngestSettings, http_limits: HttpLimits
) -> HttpServer:
    return HttpServer(
        http,
        host=settings.host,
        port=settings.http_port,
        limits=http_limits,
        cut_offs=base.metrics.http_cut_offs,
        tls=public_files(settings),
    )


def _rpc(
    base: ServiceContext,
    ingest_rpc: ingest_grpc.IngestRpc,
    admin_rpc: admin_grpc.AdminRpc,
    log_rpc: log_grpc.LogRpc,
) -> RpcServer:
    """Return the gRPC endpoints: clients of other systems send events, and nothing else."""
    rpc = base.rpc(ALLOWED)
    rpc.add(add_IngestServiceServicer_to_server, ingest_rpc, public=True)
    rpc.add(add_AdminServiceServicer_to_server, admin_rpc)
    rpc.add(add_LogServiceServicer_to_server, log_rpc)
    return rpc


def _erasures(
    settings: IngestSettings, event_log: EventLog, database: Database, store: DefinitionStore
) -> ErasureCommands:
    return ErasureCommands(
        event_log,
        database.pool,
        ErasureStore(database.api_pool, database.pool),
        store,
        ErasureReceipts(settings.receipts_file()),
        settings.definitions_poll_s,
    )


async def _replay_erasures(
    erasures: ErasureCommands, definitions: DefinitionProjection, blocked: BlockedIdentifiers
) -> None:
    """Erase again, before anything is served, the persons that a restored log has."""
    await definitions.refresh()
    if await erasures.replay_receipts():
        await definitions.refresh()
        await erasures.carry_out()
    await blocked.refresh()


async def _refresh(
    definitions: DefinitionProjection,
    blocked: BlockedIdentifiers,
    event_log: EventLog,
    every_s: float,
) -> None:
    """Fold the definitions, and observe the clock, that other replicas have appended to."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await definitions.refresh()
            await blocked.refresh()
            await event_log.heads()
        except Exception as error:
            log.warning("refresh_postponed", error=type(error).__name__)
