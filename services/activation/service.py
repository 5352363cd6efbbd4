"""Assembles activation and serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import asyncpg
from onefold.activation.v1.activation_service_pb2_grpc import (
    add_ActivationServiceServicer_to_server,
)
from onefold.activation.v1.dashboard_service_pb2_grpc import add_DashboardServiceServicer_to_server
from onefold.activation.v1.decision_service_pb2_grpc import add_DecisionServiceServicer_to_server
from onefold.activation.v1.desk_service_pb2_grpc import add_DeskServiceServicer_to_server
from onefold.activation.v1.journey_service_pb2_grpc import add_JourneyServiceServicer_to_server
from onefold.activation.v1.receipt_service_pb2_grpc import add_ReceiptServiceServicer_to_server

from services.activation.api.dashboards import ALLOWED as DASHBOARDS_ALLOWED
from services.activation.api.dashboards import DashboardRpc
from services.activation.api.decision_reader import DecisionReader
from services.activation.api.decisions import ALLOWED as DECISIONS_ALLOWED
from services.activation.api.decisions import DecisionRpc
from services.activation.api.desk import ALLOWED as DESK_ALLOWED
from services.activation.api.desk import DeskRpc
from services.activation.api.grpc import ALLOWED, ActivationRpc
from services.activation.api.journeys import ALLOWED as JOURNEYS_ALLOWED
from services.activation.api.journeys import JourneyRpc
from services.activation.api.receipts import RECEIPTS_ALLOWED, ReceiptRpc
from services.activation.api.recommendations import Recommender
from services.activation.channels import Sender
from services.activation.channels.senders import open_senders
from services.activation.channels.ssrf import TargetGuard
from services.activation.commands.contact import ContactCommands
from services.activation.commands.coupons import CouponCommands
from services.activation.commands.dashboards import DashboardCommands
from services.activation.commands.desk import DeskCommands
from services.activation.commands.destinations import DestinationCommands
from services.activation.commands.journeys import JourneyCommands
from services.activation.commands.receipts import ReceiptCommands
from services.activation.commands.recommendations import ItemFitter
from services.activation.commands.retries import RetryCommands
from services.activation.commands.slots import SlotCommands
from services.activation.commands.templates import TemplateCommands
from services.activation.delivery.admission import RunAdmission
from services.activation.delivery.coupons import CouponIssuer
from services.activation.delivery.dispatcher import Dispatcher
from services.activation.delivery.metrics import DeliveryMetrics
from services.activation.delivery.mirrors import MirrorContext
from services.activation.delivery.outcomes import OutcomePublisher
from services.activation.delivery.render import PersonReader, ProfileReader, Renderer
from services.activation.delivery.reports import ReportPublisher
from services.activation.delivery.retention import PayloadRetention
from services.activation.delivery.worker import DeliveryContext
from services.activation.domain.journeys.catalogue import FlowState
from services.activation.domain.policy.gate import Flow
from services.activation.domain.sealing import SecretKeys
from services.activation.domain.subjects import AllowedSubjects
from services.activation.domain.targets import AllowedTargets
from services.activation.domain.transitions import RetryPolicy
from services.activation.projection.decisions import SlotIntake, latency_of_decisions
from services.activation.projection.desk.worker import DeskWorker
from services.activation.projection.fold import ActivationProjection
from services.activation.projection.journeys.engine import JourneyEngine
from services.activation.projection.journeys.replays import JourneyReplays
from services.activation.projection.journeys.restore import restore_ledger
from services.activation.projection.journeys.verification import RunVerifier
from services.activation.projection.upstream import (
    DecisionUpstream,
    ItemUpstream,
    JourneyUpstream,
    PastUpstream,
    RuleChecker,
    SegmentUpstream,
    SizeUpstream,
)
from services.activation.settings import ActivationSettings
from services.activation.store.effects import DestinationKey, count_rows
from services.activation.store.templates import TemplateReader
from services.chassis.bootstrap import ServiceContext, open_service
from services.chassis.postgres.workspace import workspace_scope
from services.chassis.projection.grpc import ALLOWED as PROJECTION_ALLOWED
from services.chassis.projection.grpc import Counts
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.channel import ServiceChannel
from services.chassis.rpc.clients import IdentityClient, LogClient
from services.chassis.rpc.server import RpcServer
from services.chassis.runtime.declared_latency import DeclaredLatency
from services.chassis.runtime.run import Endpoints
from services.chassis.runtime.tasks import background

DAY_S = 86_400


@dataclass(frozen=True)
class _Peers:
    """The services around this one."""

    segment: ServiceChannel
    profile: ServiceChannel
    identity: IdentityClient
    log: LogClient

    @property
    def journeys(self) -> JourneyUpstream:
        return JourneyUpstream(self.segment, self.profile)

    @property
    def past(self) -> PastUpstream:
        return PastUpstream(self.segment, self.profile)


@asynccontextmanager
async def serve(settings: ActivationSettings) -> AsyncIterator[Endpoints]:
    """Serve activation until the scope ends."""
    keys = SecretKeys.parse(settings.secrets_key.get_secret_value())
    targets = TargetGuard(AllowedTargets.parse(settings.private_targets))
    subjects = AllowedSubjects.parse(settings.nats_subjects)
    async with (
        open_service(settings) as base,
        base.channel(settings.segment_url) as segment,
        base.channel(settings.profile_url) as profile,
        base.channel(settings.identity_url) as identity,
        base.channel(settings.ingest_url) as ingest,
        open_senders(base.bus, settings.data_dir, targets, keys, subjects) as senders,
    ):
        log = LogClient(ingest, settings.service)
        peers = _Peers(segment, profile, IdentityClient(identity), log)
        issuer = CouponIssuer(base.database, log, settings.service, keys.hash_key)
        context = _delivery_context(settings, base, peers, senders.messages, issuer)
        mirrors = MirrorContext(
            *(base.database, profile, segment, senders.mirrors, context.retry_policy),
            settings.shards,
            context.metrics,
        )
        dispatcher = Dispatcher(context, drain_s=settings.drain_s, mirrors=mirrors)
        decided = latency_of_decisions(base.metrics, settings.decided_within_s)
        projection = ActivationProjection(
            settings.shards,
            slots=SlotIntake(decided),
            on_effects=dispatcher.wake,
            on_defined=dispatcher.reload,
            on_access=base.authenticator.invalidate,
        )
        runner = _runner(settings, base, segment, projection)
        journeys = JourneyEngine(
            *(base.database, runner, log, peers.journeys, settings.shards, dispatcher.wake),
            base.metrics,
        )
        projection.on_looks = journeys.player.wake
        desk = DeskWorker(base.database, log, settings.service)
        projection.on_tickets = desk.wake
        contact = ContactCommands(base.database, runner, log)
        destinations = DestinationCommands(base.database, runner, log, targets, keys, subjects)
        retries = RetryCommands(base.database, on_effects=dispatcher.wake)
        receipts = ReceiptCommands(base.database, log, keys)
        fitter = ItemFitter(base.database, log, PersonReader(profile))
        rpc = _rpc(base, runner, peers, destinations, retries, receipts, contact, fitter)
        outcomes = OutcomePublisher(base.database, log, settings.service)
        reported = ReportPublisher(base.database, log, settings.service, partial(_pause, contact))
        retention = PayloadRetention(base.database, settings.payload_retention_days * DAY_S)
        counts = _counts(decided, context.metrics.sent)
        serving = base.serving(rpc, runner, counts=counts)
        await restore_ledger(base.database, log, settings.shards)
        # Attempts in flight end before the endpoints close.
        async with (
            serving as endpoints,
            dispatcher.running(),
            journeys.running(),
            background(outcomes.run(), reported.run(), retention.run(), fitter.run(), desk.run()),
        ):
            yield endpoints


def _runner(
    settings: ActivationSettings,
    base: ServiceContext,
    segment: ServiceChannel,
    projection: ActivationProjection,
) -> ProjectionRunner:
    return ProjectionRunner(
        settings.service,
        projection,
        database=base.database,
        bus=base.bus,
        upstream=SegmentUpstream(segment),
        upstream_subject="onefold.segment",
        subject=None,
        shards=settings.shards,
        metrics=base.metrics,
        on_committed=projection.committed,
    )


def _delivery_context(
    settings: ActivationSettings,
    base: ServiceContext,
    peers: _Peers,
    senders: Mapping[type, Sender],
    issuer: CouponIssuer,
) -> DeliveryContext:
    templates = TemplateReader(base.database)
    persons = PersonReader(peers.profile)
    return DeliveryContext(
        base.database,
        Renderer(peers.profile, templates, peers.log.head),
        senders,
        RetryPolicy(settings.max_attempts, settings.initial_backoff_s, settings.max_backoff_s),
        DeliveryMetrics(base.metrics, settings.sent_within_s),
        settings.max_in_flight,
        admission=RunAdmission(
            base.database, peers.log, persons, templates, settings.shards, issuer
        ),
    )


def _rpc(
    base: ServiceContext,
    runner: ProjectionRunner,
    peers: _Peers,
    destinations: DestinationCommands,
    retries: RetryCommands,
    receipts: ReceiptCommands,
    contact: ContactCommands,
    fitter: ItemFitter,
) -> RpcServer:
    """Return the gRPC endpoints."""
    database, log = base.database, peers.log
    templates = TemplateCommands(database, runner, log)
    activation_rpc = ActivationRpc(
        destinations, templates, retries, receipts, ProfileReader(peers.profile), database, runner
    )
    rules = RuleChecker(peers.profile)
    replays = JourneyReplays(database, peers.journeys, peers.past)
    journey_rpc = JourneyRpc(
        journeys=JourneyCommands(database, runner, log, peers.identity, rules, replays),
        contact=contact,
        coupons=CouponCommands(database, runner, log),
        database=database,
        runner=runner,
        verifier=RunVerifier(database.api_pool, log, peers.journeys),
        replays=JourneyReplays(
            database, peers.journeys, PastUpstream(peers.segment, peers.profile)
        ),
    )
    decision_rpc = DecisionRpc(
        SlotCommands(database, runner, log, rules),
        DecisionReader(
            database, runner, peers.identity, DecisionUpstream(peers.segment, peers.profile)
        ),
        database,
        runner,
        Recommender(database, ItemUpstream(peers.profile)),
        fitter,
    )
    desk_rpc = DeskRpc(
        DeskCommands(database, runner, log, peers.identity),
        PersonReader(peers.profile),
        database,
        runner,
    )
    dashboard_rpc = DashboardRpc(
        DashboardCommands(database, runner, log), SizeUpstream(peers.segment), database, runner
    )
    public = {**ALLOWED, **JOURNEYS_ALLOWED, **DECISIONS_ALLOWED, **DESK_ALLOWED}
    public |= DASHBOARDS_ALLOWED
    rpc = base.rpc({**public, **RECEIPTS_ALLOWED, **PROJECTION_ALLOWED})
    rpc.add(add_ActivationServiceServicer_to_server, activation_rpc, public=True)
    rpc.add(add_JourneyServiceServicer_to_server, journey_rpc, public=True)
    rpc.add(add_DecisionServiceServicer_to_server, decision_rpc, public=True)
    rpc.add(add_DeskServiceServicer_to_server, desk_rpc, public=True)
    rpc.add(add_DashboardServiceServicer_to_server, dashboard_rpc, public=True)
    rpc.add(add_ReceiptServiceServicer_to_server, ReceiptRpc(receipts))
    return rpc


def _counts(*measured: DeclaredLatency) -> Counts:
    """Return what counts rows, and what was measured against declared limits."""

    async def counts(conn: asyncpg.Connection) -> Mapping[str, int]:
        found = await count_rows(conn)
        for each in measured:
            found |= each.counts()
        return found

    return counts


async def _pause(contact: ContactCommands, key: DestinationKey) -> None:
    """Pause a destination by itself; who resumes it decides what becomes of what waits."""
    with workspace_scope(key.workspace_id):
        await contact.set_destination_flow(*key, FlowState(Flow.PAUSED))
