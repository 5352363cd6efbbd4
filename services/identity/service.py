"""Identity, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from onefold.identity.v1.identity_service_pb2_grpc import add_IdentityServiceServicer_to_server
from onefold.projection.v1.projection_service_pb2_grpc import (
    add_ProjectionServiceServicer_to_server,
)

from services.chassis.bootstrap import open_service
from services.chassis.projection.grpc import ALLOWED as PROJECTION_ALLOWED
from services.chassis.projection.grpc import ProjectionRpc
from services.chassis.projection.rebuild_runner import RebuildRunner
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient
from services.chassis.runtime.run import Endpoints
from services.chassis.runtime.tasks import background
from services.identity.api.grpc import ALLOWED, IdentityRpc
from services.identity.commands.decisions import DecisionService
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import IdentityProjection
from services.identity.projection.tick_requester import Metronome
from services.identity.queries.profiles import IdentityQueries
from services.identity.rebuild import IdentityRebuilder
from services.identity.settings import IdentitySettings
from services.identity.store.postgres import count_rows
from services.identity.upstream import LogUpstream


@asynccontextmanager
async def serve(settings: IdentitySettings) -> AsyncIterator[Endpoints]:
    """Identity, ready to be called, until the scope ends."""
    async with open_service(settings) as base, base.channel(settings.ingest_url) as ingest:
        upstream = LogUpstream(ingest)
        log = LogClient(ingest, settings.service)
        metronome = Metronome(log)
        runner = ProjectionRunner(
            settings.service,
            IdentityProjection(
                shards=settings.shards,
                memory=EvidenceCache(settings.remembered),
                on_access=base.authenticator.invalidate,
                on_waiting=metronome.ask,
            ),
            database=base.database,
            bus=base.bus,
            upstream=upstream,
            upstream_subject="onefold.log",
            subject="onefold.identity",
            shards=settings.shards,
            outbox_retention=settings.outbox_retention_s,
            metrics=base.metrics,
        )
        rebuilder = IdentityRebuilder(upstream, base.database, remembered=settings.remembered)
        rebuild = RebuildRunner(base.database, rebuilder, shards=settings.shards)
        rpc = base.rpc({**ALLOWED, **PROJECTION_ALLOWED})
        queries = IdentityQueries(base.database, runner, log)
        doors = IdentityRpc(queries, DecisionService(queries, log))
        rpc.add(add_IdentityServiceServicer_to_server, doors)
        rpc.add(
            add_ProjectionServiceServicer_to_server,
            ProjectionRpc(runner, base.database, counts=count_rows, rebuild=rebuild),
        )
        operations = base.operations(runner)
        async with rpc, operations.serving(), background(runner.run(), metronome.run()):
            yield Endpoints(rpc.port, operations.port)
