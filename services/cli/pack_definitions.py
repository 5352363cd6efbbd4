"""Yields the calls that define the parts of a pack, in the order in which they are made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

from onefold.activation.v1.activation_service_pb2 import (
    DefineDestinationRequest,
    DefineTemplateRequest,
)
from onefold.activation.v1.dashboard_service_pb2 import DefineDashboardRequest
from onefold.activation.v1.decision_service_pb2 import DefineSlotRequest
from onefold.activation.v1.desk_service_pb2 import DefineQueueRequest
from onefold.activation.v1.journey_service_pb2 import (
    DefineContactPolicyRequest,
    DefineCouponPoolRequest,
    DefineJourneyRequest,
    JourneyAssumptions,
)
from onefold.identity.v1.identity_service_pb2 import DefinePolicyRequest
from onefold.ingest.v1.admin_service_pb2 import DefineSourceRequest
from onefold.profile.v1.profile_facts_pb2 import TagDefined
from onefold.profile.v1.profile_service_pb2 import DefineSettingsRequest, DefineTagRequest
from onefold.segment.v1.segment_service_pb2 import DefineSegmentRequest

from services.cli.definitions import Pack
from services.cli.pack_order import in_order_of_references, journeys_in_order, kind_of, reference_to
from services.client.client import Client


class PackDefinition(NamedTuple):
    """One definition of a pack, and the call that makes it."""

    kind: str
    id: str
    #: Calls the service, with `dry_run` and `etag`.
    define: Callable[..., Awaitable[Any]]
    #: The kind as it is shown, where it is another word: that of the pack.
    shown_as: str = ""
    #: Whether its rules may refer to others; then `define` takes `assumed`, too.
    has_references: bool = False
    #: Whether it may have a template; then `define` takes `assumed_templates`, too.
    has_template: bool = False


def definitions_of(client: Client, pack: Pack) -> Iterator[PackDefinition]:
    """Yield the definitions of a pack in the order in which they must be made."""

    def call(method: Callable[[Any], Awaitable[Any]], request: Any, **content: Any) -> Any:
        return lambda **more: method(request(**content, **more))

    policy, identity, admin = pack.identity_policy, client.identity, client.admin
    if policy is not None:
        yield PackDefinition(
            "identity policy", "", call(identity.DefinePolicy, DefinePolicyRequest, policy=policy)
        )
    for source in pack.sources:
        define = call(admin.DefineSource, DefineSourceRequest, source=source)
        yield PackDefinition("source", source.source_id, define)
    if pack.settings is not None:
        define = call(client.profile.DefineSettings, DefineSettingsRequest, settings=pack.settings)
        yield PackDefinition("settings", "", define)
    for ruled in in_order_of_references(pack):
        if isinstance(ruled, TagDefined):
            define = call(client.profile.DefineTag, DefineTagRequest, tag=ruled)
            yield PackDefinition(
                "tag", ruled.tag_id, define, shown_as=kind_of(ruled), has_references=True
            )
        else:
            define = call(client.segment.DefineSegment, DefineSegmentRequest, segment=ruled)
            yield PackDefinition("segment", ruled.segment_id, define, has_references=True)
    for template in pack.templates:
        define = call(client.activation.DefineTemplate, DefineTemplateRequest, template=template)
        yield PackDefinition("template", template.template_id, define)
    for each in pack.destinations:
        define = call(
            client.activation.DefineDestination, DefineDestinationRequest, destination=each
        )
        yield PackDefinition("destination", each.destination_id, define, has_template=True)
    if pack.contact_policy is not None:
        method = client.journeys.DefineContactPolicy
        define = call(method, DefineContactPolicyRequest, policy=pack.contact_policy)
        yield PackDefinition("contact policy", "", define)
    for pool in pack.pools:
        define = call(client.journeys.DefineCouponPool, DefineCouponPoolRequest, pool=pool)
        yield PackDefinition("pool", pool.pool_id, define, shown_as="coupon pool")
    for queue in pack.queues:
        define = call(client.desk.DefineQueue, DefineQueueRequest, queue=queue)
        yield PackDefinition("queue", queue.queue_id, define)
    for journey in journeys_in_order(pack):
        define = call(client.journeys.DefineJourney, DefineJourneyRequest, journey=journey)
        yield PackDefinition("journey", journey.journey_id, define)
    for slot in pack.slots:
        define = call(client.decisions.DefineSlot, DefineSlotRequest, slot=slot)
        yield PackDefinition("slot", slot.slot_id, define, has_references=True)
    for board in pack.dashboards:
        define = call(client.dashboards.DefineDashboard, DefineDashboardRequest, dashboard=board)
        yield PackDefinition("dashboard", board.dashboard_id, define)


def journey_assumptions(pack: Pack) -> JourneyAssumptions:
    """Return what a dry run of a journey of a pack takes as defined."""
    return JourneyAssumptions(
        destinations=[each.destination_id for each in pack.destinations],
        templates=[each.template_id for each in pack.templates],
        journeys=[each.journey_id for each in pack.journeys],
        rules=[*map(reference_to, pack.tags), *map(reference_to, pack.segments)],
        coupon_pools=pack.pools,
        queues=[each.queue_id for each in pack.queues],
    )
