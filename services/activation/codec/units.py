"""Cuts the messages of segment into units that a fold can leave out: a change, a fact."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from onefold.segment.v1.segment_stream_pb2 import MembershipsChanged

from services.chassis.messaging.stream import FoldUnit, StreamMessage, UnitId
from services.kernel.ids import WorkspaceId

#: The first byte of a unit's key: the changes of a membership, a broadcast fact.
_MEMBERSHIP, _FACT = b"m", b"f"


def units_of(message: StreamMessage) -> list[FoldUnit]:
    """Return the units of a message: the changes of each membership, each fact."""
    whole = MembershipsChanged.FromString(message.payload)
    parts: dict[bytes, tuple[str, MembershipsChanged]] = {}
    for key, workspace_id, part in _parts(whole):
        _, found = parts.setdefault(key, (workspace_id, _empty(whole)))
        found.MergeFrom(part)
    return [
        FoldUnit(UnitId(message.first, key), WorkspaceId(workspace), part.SerializeToString())
        for key, (workspace, part) in parts.items()
    ]


def without(
    message: MembershipsChanged, sequence: int, left_out: Collection[UnitId]
) -> MembershipsChanged:
    """Return a message without some of its units."""
    if not any(unit.sequence == sequence for unit in left_out):
        return message
    rest = _empty(message)
    for key, _, part in _parts(message):
        if UnitId(sequence, key) not in left_out:
            rest.MergeFrom(part)
    return rest


def _empty(message: MembershipsChanged) -> MembershipsChanged:
    return MembershipsChanged(
        shard=message.shard,
        sequence=message.sequence,
        log_offset=message.log_offset,
        log_time_us=message.log_time_us,
    )


def _parts(message: MembershipsChanged) -> Iterator[tuple[bytes, str, MembershipsChanged]]:
    """Yield each part of a message with the key of its unit and its workspace."""
    for fact in message.broadcast_facts:
        yield _FACT + fact.fact_id, fact.workspace_id, MembershipsChanged(broadcast_facts=[fact])
    for change in message.changes:
        key = _MEMBERSHIP + change.profile_id + change.segment_id.encode()
        yield key, change.workspace_id, MembershipsChanged(changes=[change])
