"""Cuts the messages of profile into units that a fold can leave out: a profile, a fact."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from onefold.profile.v1.profile_stream_pb2 import ProfilesChanged

from services.chassis.messaging.stream import FoldUnit, StreamMessage, UnitId
from services.kernel.ids import ProfileId, WorkspaceId

#: The first byte of a unit's key: the changes of a profile, a broadcast fact, ready predicates.
_PROFILE, _FACT, _BACKFILLED = b"p", b"f", b"b"


def units_of(message: StreamMessage) -> list[FoldUnit]:
    """Return the units of a message: the changes of each profile, each fact, its predicates."""
    whole = ProfilesChanged.FromString(message.payload)
    parts: dict[bytes, tuple[str, ProfilesChanged]] = {}
    for key, workspace_id, part in _parts(whole):
        _, found = parts.setdefault(key, (workspace_id, _empty(whole)))
        found.MergeFrom(part)
    return [
        FoldUnit(UnitId(message.first, key), WorkspaceId(workspace), part.SerializeToString())
        for key, (workspace, part) in parts.items()
    ]


def without(
    message: ProfilesChanged, sequence: int, left_out: Collection[UnitId]
) -> ProfilesChanged:
    """Return a message without some of its units."""
    if not any(unit.sequence == sequence for unit in left_out):
        return message
    rest = _empty(message)
    for key, _, part in _parts(message):
        if UnitId(sequence, key) not in left_out:
            rest.MergeFrom(part)
    return rest


def _empty(message: ProfilesChanged) -> ProfilesChanged:
    return ProfilesChanged(
        shard=message.shard,
        sequence=message.sequence,
        log_offset=message.log_offset,
        log_time_us=message.log_time_us,
    )


def _parts(message: ProfilesChanged) -> Iterator[tuple[bytes, str, ProfilesChanged]]:
    """Yield each part of a message with the key of its unit and its workspace."""
    if message.backfilled_predicates or message.dropped_predicates:
        workspace_id = message.backfilled_workspace_id
        ready = ProfilesChanged(
            backfilled_predicates=message.backfilled_predicates,
            dropped_predicates=message.dropped_predicates,
            backfilled_workspace_id=workspace_id,
        )
        yield _BACKFILLED, workspace_id, ready
    for fact in message.broadcast_facts:
        yield _FACT + fact.fact_id, fact.workspace_id, ProfilesChanged(broadcast_facts=[fact])
    for change in message.changes:
        key = _PROFILE + change.profile_id
        yield key, change.workspace_id, ProfilesChanged(changes=[change])


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What the state lacks, by its ids."""

    profiles: set[ProfileId] = field(default_factory=set)
    facts: set[bytes] = field(default_factory=set)
    #: By workspace.
    predicates: set[tuple[str, int]] = field(default_factory=set)


def left_out_of(units: Iterable[FoldUnit]) -> LeftOut:
    """Return what some units have."""
    found = LeftOut()
    for unit in units:
        message = ProfilesChanged.FromString(unit.payload)
        found.profiles.update(ProfileId(change.profile_id) for change in message.changes)
        found.facts.update(fact.fact_id for fact in message.broadcast_facts)
        workspace_id = message.backfilled_workspace_id
        found.predicates.update((workspace_id, one) for one in message.backfilled_predicates)
    return found
