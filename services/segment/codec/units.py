"""Says of which units the messages of profile consist, such as the changes of one profile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from onefold.profile.v1.profile_stream_pb2 import ProfilesChanged

from services.chassis.messaging.stream import FoldUnit
from services.chassis.projection.units import UnitCodec
from services.kernel.ids import ProfileId

#: The first byte of a unit's key: the changes of a profile, a broadcast fact, ready predicates, an
#: event that journeys wait for, a leaf that has moved.
_PROFILE, _FACT, _BACKFILLED, _EVENT, _MOVE = b"p", b"f", b"b", b"e", b"m"


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
    for event in message.matched_events:
        yield _EVENT + event.fact_id, event.workspace_id, ProfilesChanged(matched_events=[event])
    for move in message.leaf_moves:
        yield _MOVE + move.leaf_id, move.workspace_id, ProfilesChanged(leaf_moves=[move])


UNITS = UnitCodec(ProfilesChanged, _parts)


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
