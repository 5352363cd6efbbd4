"""Serves DecisionService: defines slots, decides what they show, and ranks their items."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from onefold.activation.v1 import decision_service_pb2 as pb
from onefold.activation.v1 import decision_service_pb2_grpc as pb_grpc

from services.activation.api.decision_reader import DecisionReader
from services.activation.api.recommendations import (
    DEFAULT_ITEMS,
    MAX_ITEMS,
    Recommender,
    item_to_proto,
)
from services.activation.commands.recommendations import ItemFitter
from services.activation.commands.slots import SlotCommands
from services.activation.domain.decisions import SlotPerson
from services.activation.domain.item_similarity import EVERY_CATEGORY
from services.activation.domain.journeys.player import share_of
from services.activation.domain.recommendations import Recommendation
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
from services.kernel.errors import InvalidField, NotFound, OnefoldError, TokenNotReached
from services.kernel.identifiers.model import Identifier
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
    reader: DecisionReader
    database: Database
    runner: ProjectionRunner
    recommender: Recommender
    fitter: ItemFitter

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
        deadline_ms = request.deadline_ms or DEFAULT_DEADLINE_MS
        slots: dict[str, Slot] = {}
        items: dict[str, Sequence[Recommendation]] = {}
        person: SlotPerson | None = None
        failure = pb.DECISION_REASON_UNSPECIFIED
        try:
            async with asyncio.timeout(deadline_ms / 1_000):
                person = await self._read(request, slots)
                for slot in slots.values():
                    if slot.items is None:
                        continue
                    found = await self.recommender.recommend(
                        workspace_id(), slot, person, DEFAULT_ITEMS
                    )
                    items[slot.slot_id] = found[0]
        except (TimeoutError, TokenNotReached):
            failure = pb.DECISION_REASON_OVER_DEADLINE
        except OnefoldError:
            failure = pb.DECISION_REASON_UNAVAILABLE
        return pb.DecideResponse(
            decisions=[
                _decision(id_, slots, person, failure, items.get(id_, ()))
                for id_ in request.slot_ids
            ]
        )

    async def Recommend(self, request: pb.RecommendRequest, context: Any) -> pb.RecommendResponse:
        if request.limit > MAX_ITEMS:
            raise InvalidField(f"is at most {MAX_ITEMS}", field="limit")
        decide = pb.DecideRequest(
            identifier=request.identifier if request.HasField("identifier") else None,
            slot_ids=[request.slot_id],
            at_least=request.at_least if request.HasField("at_least") else None,
            deadline_ms=request.deadline_ms,
        )
        _check(decide)
        slots: dict[str, Slot] = {}
        response = pb.RecommendResponse()
        try:
            async with asyncio.timeout((request.deadline_ms or DEFAULT_DEADLINE_MS) / 1_000):
                person = await self._read(decide, slots)
                slot = slots.get(request.slot_id)
                if slot is None or slot.items is None or slot.retired:
                    return pb.RecommendResponse(reason=pb.DECISION_REASON_UNKNOWN_SLOT)
                items, fitted_at_us = await self.recommender.recommend(
                    workspace_id(), slot, person, request.limit or DEFAULT_ITEMS
                )
        except (TimeoutError, TokenNotReached):
            response.reason = pb.DECISION_REASON_OVER_DEADLINE
        except OnefoldError:
            response.reason = pb.DECISION_REASON_UNAVAILABLE
        else:
            response.items.extend(map(item_to_proto, items))
            response.version, response.fitted_at_us = slot.version, fitted_at_us
            response.reason = _reason_of_items(person, items)
        return response

    async def FitItems(self, request: pb.FitItemsRequest, context: Any) -> pb.FitItemsResponse:
        async with acquire(self.database.api_pool) as conn:
            slots = await load_slots(conn, workspace_id(), [request.slot_id])
        if request.slot_id not in slots:
            raise NotFound("no slot has this id; list them")
        table, _, now_us = await self.fitter.fit(workspace_id(), slots[request.slot_id])
        items = len(table.popular.get(EVERY_CATEGORY, ()))
        return pb.FitItemsResponse(persons=table.persons, items=items, fitted_at_us=now_us)

    async def _read(self, request: pb.DecideRequest, slots: dict[str, Slot]) -> SlotPerson | None:
        """Read the slots into `slots`, and the person; see `DecisionReader`."""
        identifier = Identifier(request.identifier.namespace, request.identifier.value)
        at_least = at_least_of(request)
        return await self.reader.read(workspace_id(), identifier, request.slot_ids, at_least, slots)


def _check(request: pb.DecideRequest) -> None:
    if not 0 < len(request.slot_ids) <= MAX_SLOTS_OF_CALL:
        raise InvalidField(f"name 1 to {MAX_SLOTS_OF_CALL} slots", field="slot_ids")
    if not request.HasField("identifier"):
        raise InvalidField("name an identifier of the person", field="identifier")
    if request.deadline_ms > MAX_DEADLINE_MS:
        raise InvalidField(f"is at most {MAX_DEADLINE_MS}", field="deadline_ms")


def _reason_of_items(
    person: SlotPerson | None, items: Sequence[Recommendation]
) -> pb.DecisionReason:
    if person is None:
        return pb.DECISION_REASON_UNKNOWN_PERSON
    if person.refuses_profiling:
        return pb.DECISION_REASON_PROFILING_REFUSED
    return pb.DECISION_REASON_VARIANT if items else pb.DECISION_REASON_NO_VARIANT


def _decision(
    slot_id: str,
    slots: Mapping[str, Slot],
    person: SlotPerson | None,
    failure: pb.DecisionReason,
    items: Sequence[Recommendation],
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
    elif slot.items is not None:
        decision.reason = _reason_of_items(person, items)
        if items:
            content = {"items": [each.item for each in items]}
            decision.content = msgspec.json.encode(content)
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
