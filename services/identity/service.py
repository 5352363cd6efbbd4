"""Identity, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from onefold.identity.v1.identity_service_pb2_grpc import add_IdentityServiceServicer_to_server
from onefold.projection.v1.projection_service_pb2_grpc import (
    add_ProjectionServiceServicer_to_server,
)

from services.chassis.ground import ground
from services.chassis.peers import LogPeer
from services.chassis.projection import ProjectionRunner
from services.chassis.projection_rpc import ALLOWED as PROJECTION_ALLOWED
from services.chassis.projection_rpc import ProjectionRpc
from services.chassis.rebuild import Rebuild
from services.chassis.runtime import Doors
from services.chassis.scopes import alongside
from services.identity.app import Identity
from services.identity.deciding import Deciding
from services.identity.memory import Memory
from services.identity.metronome import Metronome
from services.identity.queries import IdentityQueries
from services.identity.rebuild import IdentityRebuilder
from services.identity.rpc import ALLOWED, IdentityRpc
from services.identity.settings import IdentitySettings
from services.identity.store import count_rows
from services.identity.upstream import LogUpstream


@asynccontextmanager
async def serve(settings: IdentitySettings) -> AsyncIterator[Doors]:
    """Identity, ready to be called, until the scope ends."""
    async with ground(settings) as base, base.channel(settings.ingest_url) as ingest:
        upstream = LogUpstream(ingest)
        log = LogPeer(ingest, settings.service)
        metronome = Metronome(log)
        runner = ProjectionRunner(
            settings.service,
            Identity(
                shards=settings.shards,
                memory=Memory(settings.remembered),
                on_access=base.authenticator.forget,
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
        rebuild = Rebuild(base.database, rebuilder, shards=settings.shards)
        rpc = base.rpc({**ALLOWED, **PROJECTION_ALLOWED})
        queries = IdentityQueries(base.database, runner, log)
        doors = IdentityRpc(queries, Deciding(queries, log))
        rpc.add(add_IdentityServiceServicer_to_server, doors)
        rpc.add(
            add_ProjectionServiceServicer_to_server,
            ProjectionRpc(runner, base.database, counts=count_rows, rebuild=rebuild),
        )
        operations = base.operations(runner)
        async with rpc, operations.serving(), alongside(runner.run(), metronome.run()):
            yield Doors(rpc.port, operations.port)
