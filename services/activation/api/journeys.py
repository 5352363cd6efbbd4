"""Serves the calls of JourneyService that define journeys and say when persons may be contacted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onefold.activation.v1 import journey_facts_pb2 as facts_pb
from onefold.activation.v1 import journey_service_pb2 as pb

from services.activation.api.journey_runs import JourneyRunRpc
from services.activation.api.replays import JourneyReplayRpc, assumed_from_proto
from services.activation.codec.journey_facts import FLOWS, OVERDUE, PEOPLE_INSIDE
from services.activation.commands.contact import ContactCommands
from services.activation.commands.coupons import CouponCommands
from services.activation.domain.journeys.catalogue import FlowState, JourneyHistory
from services.activation.domain.journeys.edits import StepEdit
from services.activation.domain.policy.gate import Flow
from services.activation.store.coupons import PoolCounts, count_pools, load_pools
from services.activation.store.journeys import load_contact_policy, load_journeys_of_workspace
from services.chassis.access.principal import workspace_id
from services.chassis.access.rights import allowed_roles
from services.chassis.codec.fields import at_least_of, token_to_proto
from services.chassis.codec.journeys import (
    contact_policy_from_proto,
    contact_policy_to_proto,
    coupon_pool_from_proto,
    coupon_pool_to_proto,
    journey_from_proto,
    journey_to_proto,
)
from services.chassis.definitions import etag_of
from services.chassis.postgres.database import acquire
from services.chassis.rpc.server import Allowed
from services.kernel.errors import NotFound
from services.kernel.identifiers.model import Identifier

#: The roles that may call each method.
ALLOWED: Allowed = allowed_roles(pb.DESCRIPTOR.services_by_name["JourneyService"])


@dataclass(eq=False, kw_only=True)
class JourneyRpc(JourneyRunRpc, JourneyReplayRpc):
    """onefold.activation.v1.JourneyService: the calls about definitions."""

    contact: ContactCommands
    coupons: CouponCommands

    async def DefineJourney(
        self, request: pb.DefineJourneyRequest, context: Any
    ) -> pb.DefineJourneyResponse:
        defined, warnings, people, messages = await self.journeys.define(
            workspace_id(),
            journey_from_proto(request.journey),
            etag=request.etag,
            dry_run=request.dry_run,
            assumed=assumed_from_proto(request.assumed),
            confirmed=request.confirmed_messages,
        )
        return pb.DefineJourneyResponse(
            journey=journey_to_proto(defined.definition),
            changed=defined.changed,
            token=token_to_proto(defined.token),
            etag=defined.etag,
            warnings=[
                pb.JourneyWarning(at=one.at, problem=one.problem, remedy=one.remedy)
                for one in warnings
            ],
            people=map(_step_edit, people),
            messages_within_hour=messages,
        )

    async def ListJourneys(
        self, request: pb.ListJourneysRequest, context: Any
    ) -> pb.ListJourneysResponse:
        await self.runner.catch_up(at_least_of(request))
        async with acquire(self.database.api_pool) as conn:
            journeys = await load_journeys_of_workspace(conn, workspace_id())
        return pb.ListJourneysResponse(
            journeys=[_summary(journeys[journey_id]) for journey_id in sorted(journeys)]
        )

    async def GetJourney(
        self, request: pb.GetJourneyRequest, context: Any
    ) -> pb.GetJourneyResponse:
        await self.runner.catch_up(at_least_of(request))
        async with acquire(self.database.api_pool) as conn:
            journeys = await load_journeys_of_workspace(conn, workspace_id())
        history = journeys.get(request.journey_id)
        if history is None:
            raise NotFound("no journey has this id; list them")
        summary = _summary(history)
        found = summary.journey
        if request.version:
            try:
                found = journey_to_proto(history.program(request.version).journey)
            except LookupError:
                raise NotFound("the journey has no such version") from None
        return pb.GetJourneyResponse(journey=found, flow=summary.flow, etag=summary.etag)

    async def SetJourneyFlow(
        self, request: pb.SetJourneyFlowRequest, context: Any
    ) -> pb.SetJourneyFlowResponse:
        changed = await self.contact.set_journey_flow(
            workspace_id(), request.journey_id, _flow_of(request)
        )
        return pb.SetJourneyFlowResponse(
            changed=changed.changed, token=token_to_proto(changed.token)
        )

    async def SetDestinationFlow(
        self, request: pb.SetDestinationFlowRequest, context: Any
    ) -> pb.SetDestinationFlowResponse:
        changed = await self.contact.set_destination_flow(
            workspace_id(), request.destination_id, _flow_of(request)
        )
        return pb.SetDestinationFlowResponse(
            changed=changed.changed, token=token_to_proto(changed.token)
        )

    async def DefineContactPolicy(
        self, request: pb.DefineContactPolicyRequest, context: Any
    ) -> pb.DefineContactPolicyResponse:
        defined = await self.contact.define_policy(
            workspace_id(),
            contact_policy_from_proto(request.policy, "policy"),
            etag=request.etag,
            dry_run=request.dry_run,
        )
        return pb.DefineContactPolicyResponse(
            policy=contact_policy_to_proto(defined.definition.policy),
            version=defined.definition.version,
            changed=defined.changed,
            token=token_to_proto(defined.token),
            etag=defined.etag,
        )

    async def GetContactPolicy(
        self, request: pb.GetContactPolicyRequest, context: Any
    ) -> pb.GetContactPolicyResponse:
        await self.runner.catch_up(at_least_of(request))
        async with acquire(self.database.api_pool) as conn:
            found = await load_contact_policy(conn, workspace_id())
        if found is None:
            return pb.GetContactPolicyResponse(etag=etag_of(0))
        policy, version = found
        return pb.GetContactPolicyResponse(
            policy=contact_policy_to_proto(policy), etag=etag_of(version)
        )

    async def DefineCouponPool(
        self, request: pb.DefineCouponPoolRequest, context: Any
    ) -> pb.DefineCouponPoolResponse:
        defined = await self.coupons.define_pool(
            workspace_id(),
            coupon_pool_from_proto(request.pool),
            etag=request.etag,
            dry_run=request.dry_run,
        )
        return pb.DefineCouponPoolResponse(
            pool=coupon_pool_to_proto(defined.definition),
            changed=defined.changed,
            token=token_to_proto(defined.token),
            etag=defined.etag,
        )

    async def ListCouponPools(
        self, request: pb.ListCouponPoolsRequest, context: Any
    ) -> pb.ListCouponPoolsResponse:
        await self.runner.catch_up(at_least_of(request))
        async with acquire(self.database.api_pool) as conn:
            pools = await load_pools(conn, workspace_id())
            counts = await count_pools(conn, workspace_id())
        return pb.ListCouponPoolsResponse(
            pools=[
                pb.CouponPoolSummary(
                    pool=coupon_pool_to_proto(pool),
                    etag=etag_of(pool.version),
                    **counts.get(id_, PoolCounts())._asdict(),
                )
                for id_, pool in sorted(pools.items())
            ]
        )

    async def LoadCouponCodes(
        self, request: pb.LoadCouponCodesRequest, context: Any
    ) -> pb.LoadCouponCodesResponse:
        token = await self.coupons.load_codes(workspace_id(), request.pool_id, request.codes)
        return pb.LoadCouponCodesResponse(token=token_to_proto(token))

    async def EnterJourney(
        self, request: pb.EnterJourneyRequest, context: Any
    ) -> pb.EnterJourneyResponse:
        is_new, token = await self.journeys.enter(
            workspace_id(),
            request.journey_id,
            [Identifier(each.namespace, each.value) for each in request.identifiers],
            request.properties,
            request.request_id,
        )
        return pb.EnterJourneyResponse(is_new=is_new, token=token_to_proto(token))


def _summary(history: JourneyHistory) -> pb.JourneySummary:
    journey = history.versions[-1].program.journey
    flow = history.flows[-1].flow if history.flows else Flow.OPEN
    return pb.JourneySummary(
        journey=journey_to_proto(journey), flow=FLOWS.to_proto(flow), etag=etag_of(journey.version)
    )


def _step_edit(edit: StepEdit) -> pb.JourneyStepEdit:
    return pb.JourneyStepEdit(
        step_id=edit.step_id,
        runs=edit.runs,
        what=PEOPLE_INSIDE.to_proto(edit.what),
        target_step_id=edit.target,
    )


def _flow_of(request: pb.SetJourneyFlowRequest | pb.SetDestinationFlowRequest) -> FlowState:
    """Return what is so from now on. Raises InvalidField."""
    overdue = OVERDUE.from_proto(request.overdue or facts_pb.OVERDUE_SKIP, "overdue")
    return FlowState(FLOWS.from_proto(request.flow, "flow"), overdue)
