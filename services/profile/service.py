"""Assembles profile from its parts and serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from onefold.profile.v1.profile_service_pb2_grpc import add_ProfileServiceServicer_to_server

from services.chassis.bootstrap import open_service
from services.chassis.projection.grpc import ALLOWED as PROJECTION_ALLOWED
from services.chassis.projection.rebuild import RebuildRunner
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import IdentityClient, LogClient, ProjectionClient
from services.chassis.runtime.cpu import ItemWatch
from services.chassis.runtime.run import Endpoints
from services.kernel.index_key import IndexKey
from services.kernel.rules.limits import PredicateLimits
from services.profile.api.grpc import ALLOWED, ProfileRpc
from services.profile.commands.definitions import ProfileDefinitions
from services.profile.commands.records import ProfileRecords
from services.profile.projection.backfill import Backfiller
from services.profile.projection.evaluate import ProfileEvaluator
from services.profile.projection.fold import ProfileProjection
from services.profile.projection.leaves import LeafCache
from services.profile.projection.limits import RuleLimiter
from services.profile.projection.predicates import PredicateIndexCache
from services.profile.projection.upstream import IdentityUpstream, LogEventReader
from services.profile.projection.visibility import Visibility
from services.profile.queries.explanations import RuleExplanationQueries
from services.profile.queries.history import HistoryQueries
from services.profile.queries.latency import LookupLatency
from services.profile.queries.past import PastReader
from services.profile.queries.preview import ProfilePreview
from services.profile.queries.profiles import ProfileQueries
from services.profile.queries.rule_preview import RulePreview
from services.profile.queries.watch import ProfileWatch
from services.profile.rebuild.rebuild import ProfileRebuilder
from services.profile.settings import ProfileSettings
from services.profile.store.profiles import count_rows


@asynccontextmanager
async def serve(settings: ProfileSettings) -> AsyncIterator[Endpoints]:
    """Serve profile until the scope ends."""
    index_key = IndexKey.parse(settings.index_key.get_secret_value())
    async with (
        open_service(settings, index_key=index_key, point_lookups=True) as base,
        base.channel(settings.identity_url) as identity,
        base.channel(settings.ingest_url) as ingest,
    ):
        log = LogClient(ingest, settings.service)
        upstream = IdentityUpstream(identity)
        predicates = PredicateIndexCache()
        watch = ItemWatch(base.metrics.cpu_budget_exceeded)
        evaluator = ProfileEvaluator(predicates, settings.shards, watch=watch)
        visibility = Visibility(settings.visible_within_s)
        projection = ProfileProjection(
            index_key=index_key,
            predicates=predicates,
            evaluator=evaluator,
            backfiller=Backfiller(predicates, evaluator, LogEventReader(log, index_key)),
            cache=LeafCache(settings.cached_leaves),
            on_access=base.authenticator.invalidate,
            on_folded=visibility.folded,
        )
        runner = ProjectionRunner(
            settings.service,
            projection,
            database=base.database,
            bus=base.bus,
            upstream=upstream,
            upstream_subject="onefold.identity",
            subject="onefold.profile",
            shards=settings.shards,
            outbox_retention=settings.outbox_retention_s,
            metrics=base.metrics,
            on_committed=visibility.committed,
        )
        rebuilder = ProfileRebuilder(
            upstream, log, ProjectionClient(identity), base.database, runner, index_key
        )
        rebuild = RebuildRunner(
            base.database,
            rebuilder,
            with_source=lambda source: replace(rebuilder, source=source),
            shards=settings.shards,
            resync=rebuilder,
        )
        limiter = RuleLimiter(base.database, _predicate_limits(settings))
        queries = ProfileQueries(base.database, runner)
        past = PastReader(queries, log, IdentityClient(identity), index_key)
        watched = ProfileWatch(queries, upstream)
        lookups = LookupLatency(base.metrics, settings.found_within_s)
        endpoint = _profile_rpc(past, limiter, watched, index_key, lookups)
        rpc = base.rpc({**ALLOWED, **PROJECTION_ALLOWED})
        rpc.add(add_ProfileServiceServicer_to_server, endpoint, public=True)
        counts = visibility.adding_to(lookups.adding_to(count_rows))
        async with base.serving(rpc, runner, counts=counts, rebuild=rebuild) as endpoints:
            yield endpoints


def _profile_rpc(
    past: PastReader,
    limiter: RuleLimiter,
    watched: ProfileWatch,
    index_key: IndexKey,
    lookups: LookupLatency,
) -> ProfileRpc:
    queries, log = past.queries, past.log
    database, runner = queries.database, queries.runner
    return ProfileRpc(
        index_key=index_key,
        queries=queries,
        history=HistoryQueries(past),
        explanations=RuleExplanationQueries(past),
        preview=ProfilePreview(queries),
        rule_preview=RulePreview(queries, limiter, log, index_key),
        definitions=ProfileDefinitions(database, runner, log, limiter),
        records=ProfileRecords(database, runner, log, index_key),
        watch=watched,
        lookups=lookups,
    )


def _predicate_limits(settings: ProfileSettings) -> PredicateLimits:
    return PredicateLimits(
        settings.max_predicates_per_event, settings.max_filters_per_event, settings.max_predicates
    )
