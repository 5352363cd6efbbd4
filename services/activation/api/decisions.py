"""Serves DecisionService: defines slots, and decides what they show."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from onefold.activation.v1 import decision_service_pb2 as pb
from onefold.activation.v1 import decision_service_pb2_grpc as pb_grpc

from services.activation.commands.slots import SlotCommands
from services.activation.domain.journeys.player import share_of
from services.activation.projection.upstream import DecisionUpstream, SlotPerson
from services.activation.store.slots import list_slots, load_slots
from services.chassis.access.principal import workspace_id
from services.chassis.access.rights import allowed_roles
from services.chassis.codec.fields import at_least_of, token_to_proto
from services.chassis.codec.journeys import slot_from_proto, slot_to_proto
from services.chassis.codec.rules import names_from_proto
from services.chassis.definitions import etag_of
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.server import Allowed
from services.kernel.errors import InvalidField, OnefoldError, TokenNotReached
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.decisions import EMPTY, Slot, variant_for

#: The roles that may call each method.
ALLOWED: Allowed = allowed_roles(pb.DESCRIPTOR.services_by_name["DecisionService"])
MAX_SLOTS_OF_CALL: Final = 20
DEFAULT_DEADLINE_MS: Final = 50
MAX_DEADLINE_MS: Final = 10_000


@dataclass(frozen=True)
class DecisionRpc(pb_grpc.DecisionServiceServicer):
    """onefold.activation.v1.DecisionService."""

    slots: SlotCommands
    persons: DecisionUpstream
    database: Database
    runner: ProjectionRunner

    async def DefineSlot(
        self, request: pb.DefineSlotRequest, context: Any
    ) -> pb.DefineSlotResponse:
        defined = await self.slots.define(
            workspace_id(),
            slot_from_proto(request.slot),
            etag=request.etag,
            dry_run=request.dry_run,
            assumed=names_from_proto(request.assumed, "assumed"),
        )
        return pb.DefineSlotResponse(
            slot=slot_to_proto(defined.definition),
            changed=defined.changed,
            token=token_to_proto(defined.token),
            etag=defined.etag,
        )

    async def ListSlots(self, request: pb.ListSlotsRequest, context: Any) -> pb.ListSlotsResponse:
        await self.runner.catch_up(at_least_of(request))
        async with acquire(self.database.api_pool) as conn:
            slots = await list_slots(conn, workspace_id())
        return pb.ListSlotsResponse(
            slots=[
                pb.SlotSummary(slot=slot_to_proto(each), etag=etag_of(each.version))
                for each in slots
            ]
        )

    async def Decide(self, request: pb.DecideRequest, context: Any) -> pb.DecideResponse:
        _check(request)
        workspace = workspace_id()
        deadline_ms = request.deadline_ms or DEFAULT_DEADLINE_MS
        slots: dict[str, Slot] = {}
        person: SlotPerson | None = None
        failure = pb.DECISION_REASON_UNSPECIFIED
        try:
            async with asyncio.timeout(deadline_ms / 1_000):
                person = await self._read(workspace, request, slots)
        except (TimeoutError, TokenNotReached):
            failure = pb.DECISION_REASON_OVER_DEADLINE
        except OnefoldError:
            failure = pb.DECISION_REASON_UNAVAILABLE
        return pb.DecideResponse(
            decisions=[_decision(id_, slots, person, failure) for id_ in request.slot_ids]
        )

    async def _read(
        self, workspace: WorkspaceId, request: pb.DecideRequest, slots: dict[str, Slot]
    ) -> SlotPerson | None:
        """Read the slots into `slots`, and the person; None = no person has the identifier.

        The slots come first, as their fallbacks are needed where the rest takes too long.
        """
        at_least = at_least_of(request)
        await self._load(workspace, request, slots)
        if at_least is not None:
            await self.runner.reach(at_least)
            await self._load(workspace, request, slots)
        identifier = Identifier(request.identifier.namespace, request.identifier.value)
        return await self.persons.person(workspace, identifier, at_least)

    async def _load(
        self, workspace: WorkspaceId, request: pb.DecideRequest, slots: dict[str, Slot]
    ) -> None:
        async with acquire(self.database.api_pool) as conn:
            slots |= await load_slots(conn, workspace, request.slot_ids)


def _check(request: pb.DecideRequest) -> None:
    if not 0 < len(request.slot_ids) <= MAX_SLOTS_OF_CALL:
        raise InvalidField(f"name 1 to {MAX_SLOTS_OF_CALL} slots", field="slot_ids")
    if not request.HasField("identifier"):
        raise InvalidField("name an identifier of the person", field="identifier")
    if request.deadline_ms > MAX_DEADLINE_MS:
        raise InvalidField(f"is at most {MAX_DEADLINE_MS}", field="deadline_ms")


def _decision(
    slot_id: str, slots: Mapping[str, Slot], person: SlotPerson | None, failure: pb.DecisionReason
) -> pb.Decision:
    slot = slots.get(slot_id)
    if slot is None:
        reason = failure or pb.DECISION_REASON_UNKNOWN_SLOT
        return pb.Decision(slot_id=slot_id, content=EMPTY, reason=reason)
    decision = pb.Decision(slot_id=slot_id, content=slot.fallback, version=slot.version)
    if slot.retired:
        decision.reason = pb.DECISION_REASON_UNKNOWN_SLOT
    elif failure:
        decision.reason = failure
    elif person is None:
        decision.reason = pb.DECISION_REASON_UNKNOWN_PERSON
    elif person.refuses_profiling:
        decision.reason = pb.DECISION_REASON_PROFILING_REFUSED
    else:
        number = share_of(slot_id, "split", slot.salt, person.profile_id)
        variant = variant_for(slot, person.membership_ids, number)
        decision.reason = pb.DECISION_REASON_NO_VARIANT
        if variant is not None:
            decision.reason = pb.DECISION_REASON_VARIANT
            decision.variant_id, decision.content = variant.variant_id, variant.content
    return decision
