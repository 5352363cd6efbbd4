"""Assembles segment and serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from onefold.segment.v1.segment_service_pb2_grpc import add_SegmentServiceServicer_to_server

from services.chassis.bootstrap import open_service
from services.chassis.projection.grpc import ALLOWED as PROJECTION_ALLOWED
from services.chassis.projection.rebuild import RebuildRunner
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import IdentityClient, LogClient, ProjectionClient
from services.chassis.runtime.cpu import ItemWatch
from services.chassis.runtime.run import Endpoints
from services.segment.api.grpc import ALLOWED, SegmentRpc
from services.segment.commands.segments import SegmentCommands
from services.segment.commands.snapshots import SnapshotCommands
from services.segment.projection.fold import SegmentProjection
from services.segment.projection.upstream import ProfileUpstream
from services.segment.queries.judge import RuleJudge
from services.segment.queries.sets import MemberSets
from services.segment.rebuild import SegmentRebuilder
from services.segment.settings import SegmentSettings
from services.segment.store.evaluations import count_rows


@asynccontextmanager
async def serve(settings: SegmentSettings) -> AsyncIterator[Endpoints]:
    """Serve segment until the scope ends."""
    async with (
        open_service(settings) as base,
        base.channel(settings.profile_url) as profile,
        base.channel(settings.identity_url) as identity,
        base.channel(settings.ingest_url) as ingest,
    ):
        upstream = ProfileUpstream(profile)
        projection = SegmentProjection(
            settings.shards,
            on_access=base.authenticator.invalidate,
            on_published=base.metrics.event_to_membership_seconds.observe,
            watch=ItemWatch(base.metrics.cpu_budget_exceeded),
        )
        runner = ProjectionRunner(
            settings.service,
            projection,
            database=base.database,
            bus=base.bus,
            upstream=upstream,
            upstream_subject="onefold.profile",
            subject="onefold.segment",
            shards=settings.shards,
            outbox_retention=settings.outbox_retention_s,
            metrics=base.metrics,
            on_committed=projection.committed,
        )
        identity_client = IdentityClient(identity)
        rebuilder = SegmentRebuilder(
            upstream, ProjectionClient(profile), identity_client, base.database, runner
        )
        rebuild = RebuildRunner(base.database, rebuilder, shards=settings.shards, resync=rebuilder)
        log = LogClient(ingest, settings.service)
        commands = SegmentCommands(base.database, runner, log, upstream)
        rpc = base.rpc({**ALLOWED, **PROJECTION_ALLOWED})
        segment_rpc = SegmentRpc(
            commands=commands,
            database=base.database,
            runner=runner,
            identity_client=identity_client,
            evaluator=upstream,
            judge=RuleJudge(base.database, settings.shards),
            sets=MemberSets(base.database, settings.shards),
            snapshots=SnapshotCommands(base.database, runner, log),
        )
        rpc.add(add_SegmentServiceServicer_to_server, segment_rpc, public=True)
        async with base.serving(rpc, runner, counts=count_rows, rebuild=rebuild) as endpoints:
            yield endpoints
