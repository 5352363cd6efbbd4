"""Translates the facts that define slots."""

from __future__ import annotations

from functools import lru_cache

from onefold.activation.v1 import slots_pb2 as pb

from services.chassis.codec.journeys import slot_from_proto, slot_to_proto
from services.chassis.codec.payloads import decode_payload
from services.chassis.definitions import DefinitionFact
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.decisions import Slot


@lru_cache(maxsize=4_096)
def decode_slot(payload: bytes) -> Slot:
    """Return the slot of a serialised SlotDefined. Raises InvalidField.

    Cached, as every decision reads the same few slots.
    """
    return slot_from_proto(decode_payload(pb.SlotDefined, payload).slot)


def slot_definition(workspace_id: WorkspaceId, slot: Slot) -> DefinitionFact:
    """Return the fact that defines a version of a slot."""
    return DefinitionFact.from_message(
        pb.SlotDefined(slot=slot_to_proto(slot)),
        workspace_id=workspace_id,
        key=slot.slot_id,
        version=slot.version,
    )
