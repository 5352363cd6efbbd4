"""Says of which units the messages of segment consist, such as the changes of a membership."""

from __future__ import annotations

from collections.abc import Iterator

from onefold.segment.v1.segment_stream_pb2 import MembershipsChanged

from services.chassis.projection.units import UnitCodec

#: The first byte of a unit's key: the changes of a membership, a broadcast fact, an event that
#: journeys wait for, a leaf that has moved.
_MEMBERSHIP, _FACT, _EVENT, _LEAF = b"m", b"f", b"e", b"l"


def _parts(message: MembershipsChanged) -> Iterator[tuple[bytes, str, MembershipsChanged]]:
    """Yield each part of a message with the key of its unit and its workspace."""
    for fact in message.broadcast_facts:
        yield _FACT + fact.fact_id, fact.workspace_id, MembershipsChanged(broadcast_facts=[fact])
    for change in message.changes:
        key = _MEMBERSHIP + change.profile_id + change.segment_id.encode()
        yield key, change.workspace_id, MembershipsChanged(changes=[change])
    for event in message.matched_events:
        yield _EVENT + event.fact_id, event.workspace_id, MembershipsChanged(matched_events=[event])
    for move in message.leaf_moves:
        yield _LEAF + move.leaf_id, move.workspace_id, MembershipsChanged(leaf_moves=[move])


UNITS = UnitCodec(MembershipsChanged, _parts)
