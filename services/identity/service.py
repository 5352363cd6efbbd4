"""Assembles identity and serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from onefold.identity.v1.identity_service_pb2_grpc import add_IdentityServiceServicer_to_server

from services.chassis.bootstrap import open_service
from services.chassis.projection.grpc import ALLOWED as PROJECTION_ALLOWED
from services.chassis.projection.rebuild import RebuildRunner
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient
from services.chassis.runtime.cpu import ItemWatch
from services.chassis.runtime.run import Endpoints
from services.identity.api.decisions_grpc import DecisionsRpc, MatchesRpc
from services.identity.api.erasure_grpc import ErasureRpc
from services.identity.api.grpc import ALLOWED, IdentityRpc
from services.identity.api.policy_grpc import PolicyRpc
from services.identity.api.profiles_grpc import ProfilesRpc
from services.identity.commands.decisions import DecisionCommands
from services.identity.commands.erasure import ErasureRequests
from services.identity.commands.matches import MatchCommands
from services.identity.commands.policy import PolicyCommands
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import IdentityProjection
from services.identity.projection.outputs import FactsOfOutputs
from services.identity.projection.reader import StateReader
from services.identity.projection.upstream import LogUpstream
from services.identity.queries.explain import ExplanationQueries
from services.identity.queries.held import HeldEdgeQueries
from services.identity.queries.merge_feed import MergeFeed
from services.identity.queries.past import PastProfiles
from services.identity.queries.policy_preview import PolicyQueries
from services.identity.queries.probable import MatchQueries
from services.identity.queries.profiles import IdentityQueries
from services.identity.rebuild.page_share import PageShare
from services.identity.rebuild.rebuild import IdentityRebuilder
from services.identity.settings import IdentitySettings
from services.identity.store.profiles import count_rows
from services.kernel.index_key import IndexKey


@asynccontextmanager
async def serve(settings: IdentitySettings) -> AsyncIterator[Endpoints]:
    """Serve identity until the scope ends."""
    index_key = IndexKey.parse(settings.index_key.get_secret_value())
    async with (
        open_service(settings, index_key=index_key) as base,
        base.channel(settings.ingest_url) as ingest,
    ):
        upstream, log = LogUpstream(ingest), LogClient(ingest, settings.service)
        runner = ProjectionRunner(
            settings.service,
            IdentityProjection(
                shards=settings.shards,
                cache=EvidenceCache(settings.evidence_cache_size, index_key),
                log=log,
                on_access=base.authenticator.invalidate,
                watch=ItemWatch(base.metrics.cpu_budget_exceeded),
            ),
            database=base.database,
            bus=base.bus,
            upstream=upstream,
            upstream_subject="onefold.log",
            subject="onefold.identity",
            shards=settings.shards,
            outbox_retention=settings.outbox_retention_s,
            completion=FactsOfOutputs(upstream),
            metrics=base.metrics,
        )
        share = PageShare()
        sizes = (settings.evidence_cache_size, settings.rebuild_identifier_sets)
        rebuilder = IdentityRebuilder(upstream, log, share, *sizes, index_key)
        rebuild = RebuildRunner(
            base.database,
            rebuilder,
            with_source=lambda source: replace(rebuilder, source=source),
            shards=settings.shards,
            log_head=log.head,
        )
        rpc = base.rpc({**ALLOWED, **PROJECTION_ALLOWED})
        servicer = _servicer(StateReader(base.database, runner, index_key), log, share)
        rpc.add(add_IdentityServiceServicer_to_server, servicer, public=True)
        async with base.serving(rpc, runner, counts=count_rows, rebuild=rebuild) as endpoints:
            yield endpoints


def _servicer(reader: StateReader, log: LogClient, share: PageShare) -> IdentityRpc:
    return IdentityRpc(
        ProfilesRpc(
            reader, IdentityQueries(reader), PastProfiles(reader, log), MergeFeed(reader), share
        ),
        DecisionsRpc(
            reader,
            DecisionCommands(reader, log),
            ExplanationQueries(reader, log),
            HeldEdgeQueries(reader),
        ),
        MatchesRpc(reader, MatchCommands(reader, log), MatchQueries(reader)),
        PolicyRpc(reader, PolicyCommands(reader, log), PolicyQueries(reader)),
        ErasureRpc(reader, ErasureRequests(reader, log)),
    )
