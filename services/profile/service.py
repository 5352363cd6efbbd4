"""Profile, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from onefold.profile.v1.profile_service_pb2_grpc import add_ProfileServiceServicer_to_server
from onefold.projection.v1.projection_service_pb2_grpc import (
    add_ProjectionServiceServicer_to_server,
)

from services.chassis.ground import ground
from services.chassis.peers import LogPeer, ProjectionPeer
from services.chassis.projection import ProjectionRunner
from services.chassis.projection_rpc import ALLOWED as PROJECTION_ALLOWED
from services.chassis.projection_rpc import ProjectionRpc
from services.chassis.rebuild import Rebuild
from services.chassis.runtime import Doors
from services.chassis.scopes import alongside
from services.profile.app import ProfileApp
from services.profile.asking import Asking
from services.profile.growing import Grower
from services.profile.keeping import Memory
from services.profile.preview import Previews
from services.profile.queries import ProfileQueries
from services.profile.rebuild import ProfileRebuilder
from services.profile.rpc import ALLOWED, ProfileRpc
from services.profile.rulebook import Rulebook
from services.profile.settings import ProfileSettings
from services.profile.settling import Settler
from services.profile.store import count_rows
from services.profile.upstream import IdentityUpstream, LogPast


@asynccontextmanager
async def serve(settings: ProfileSettings) -> AsyncIterator[Doors]:
    """Profile, ready to be called, until the scope ends."""
    async with (
        ground(settings) as base,
        base.channel(settings.identity_url) as identity,
        base.channel(settings.ingest_url) as ingest,
    ):
        log = LogPeer(ingest, settings.service)
        upstream = IdentityUpstream(identity)
        rulebook = Rulebook()
        settler = Settler(rulebook, settings.shards)
        app = ProfileApp(
            rulebook=rulebook,
            settler=settler,
            grower=Grower(rulebook, settler, LogPast(log)),
            memory=Memory(settings.remembered_leaves),
            on_access=base.authenticator.forget,
        )
        runner = ProjectionRunner(
            settings.service,
            app,
            database=base.database,
            bus=base.bus,
            upstream=upstream,
            upstream_subject="onefold.identity",
            subject="onefold.profile",
            shards=settings.shards,
            outbox_retention=settings.outbox_retention_s,
            metrics=base.metrics,
        )
        rebuilder = ProfileRebuilder(upstream, log, ProjectionPeer(identity), base.database, runner)
        rebuild = Rebuild(base.database, rebuilder, shards=settings.shards, replacer=rebuilder)
        queries = ProfileQueries(base.database, runner)
        rpc = base.rpc({**ALLOWED, **PROJECTION_ALLOWED})
        doors = ProfileRpc(queries, Asking(queries, log), Previews(queries))
        rpc.add(add_ProfileServiceServicer_to_server, doors)
        rpc.add(
            add_ProjectionServiceServicer_to_server,
            ProjectionRpc(runner, base.database, counts=count_rows, rebuild=rebuild),
        )
        operations = base.operations(runner)
        async with rpc, operations.serving(), alongside(runner.run()):
            yield Doors(rpc.port, operations.port)
