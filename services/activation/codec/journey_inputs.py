"""Decodes what segment passes on to journeys: events, memberships, moves of leaves."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from google.protobuf.message import DecodeError
from onefold.profile.v1.profile_stream_pb2 import MatchedEvent
from onefold.segment.v1 import segment_stream_pb2 as pb
from onefold.type.v1.event_pb2 import Event

from services.activation.domain.journeys.looks import JourneyFact, LeafMoved
from services.activation.domain.journeys.program import (
    SEGMENT,
    Subject,
    event_subjects,
    segment_subject,
)
from services.kernel.fold.events import EventView, read_object, rule_event_name
from services.kernel.ids import FactId, LeafId, ProfileId, WorkspaceId, hash_id
from services.kernel.journeys.model import Movement

#: The causes of changes of memberships that say nothing about what the person did.
_NOT_LIVED: Final = (pb.MEMBERSHIP_CAUSE_MERGE, pb.MEMBERSHIP_CAUSE_DEFINITION)

EVENT: Final[str] = Event.DESCRIPTOR.full_name
#: The properties of events of which journeys name none.
_NOTHING: Final = (b"{}", b"")


class LoggedEvent(NamedTuple):
    """What of an event journeys read."""

    #: As rules name it.
    name: str
    properties: Mapping[str, Any]


def logged_event(payload: bytes) -> LoggedEvent | None:
    """Return the event of the payload of a fact; None = it cannot be read."""
    try:
        event = Event.FromString(payload)
    except DecodeError:
        return None
    name = rule_event_name(EventView(event.type, event.name, 0, b""))
    return LoggedEvent(name, read_object(event.properties))


def moved_leaves(messages: Iterable[pb.MembershipsChanged]) -> Iterator[LeafMoved]:
    """Yield which profiles leaves belong to, by messages of segment."""
    for message in messages:
        for move in message.leaf_moves:
            yield _moved(move, message.log_time_us)
        for event in message.matched_events:
            yield _assigned(event)


def workspaces_of(messages: Iterable[pb.MembershipsChanged]) -> set[WorkspaceId]:
    """Return the workspaces of what messages of segment say of persons."""
    found: set[str] = set()
    for message in messages:
        found.update(event.workspace_id for event in message.matched_events)
        found.update(change.workspace_id for change in message.changes)
    return set(map(WorkspaceId, found))


def journey_facts(
    messages: Iterable[pb.MembershipsChanged], awaited: Mapping[WorkspaceId, Collection[Subject]]
) -> Iterator[tuple[WorkspaceId, JourneyFact]]:
    """Yield what happened to persons, by messages of segment, with their workspaces.

    Of the memberships those that are `awaited`: journeys wait for few of them.
    """
    segments = {
        (workspace_id, subject[1])
        for workspace_id, subjects in awaited.items()
        for subject in subjects
        if subject[0] == SEGMENT
    }
    for message in messages:
        for event in message.matched_events:
            yield WorkspaceId(event.workspace_id), event_fact(event)
        for change in message.changes if segments else ():
            workspace_id = WorkspaceId(change.workspace_id)
            if (workspace_id, change.segment_id) not in segments:
                continue
            fact = membership_fact(change, awaited[workspace_id])
            if fact is not None:
                yield workspace_id, fact


def _moved(move: Any, since_us: int) -> LeafMoved:
    return LeafMoved(
        WorkspaceId(move.workspace_id),
        LeafId(move.leaf_id),
        ProfileId(move.profile_id),
        move.version,
        since_us,
    )


def _assigned(event: MatchedEvent) -> LeafMoved:
    return LeafMoved(
        WorkspaceId(event.workspace_id),
        LeafId(event.leaf_id),
        ProfileId(event.profile_id),
        event.assignment_version,
        event.recorded_at_us,
    )


def event_fact(event: MatchedEvent) -> JourneyFact:
    """Return what an event is to the journeys that wait for it."""
    properties = event.properties
    return JourneyFact(
        LeafId(event.leaf_id),
        FactId(event.fact_id),
        event.occurred_at_us,
        event.recorded_at_us,
        event_subjects(tuple(event.filter_ids)),
        {} if properties in _NOTHING else msgspec.json.decode(properties),
    )


def membership_fact(change: pb.MembershipChange, awaited: Container[Subject]) -> JourneyFact | None:
    """Return what an entry into a segment, or an exit, is to journeys; None = nothing to them."""
    subject = segment_subject(change.segment_id, _movement(change))
    if subject not in awaited or change.cause in _NOT_LIVED:
        return None
    parts = (change.workspace_id, "membership", change.segment_id, change.profile_id)
    return JourneyFact(
        LeafId(change.profile_id),
        FactId(hash_id(*parts, str(change.ordinal))),
        change.changed_at_us,
        change.changed_at_us,
        (subject,),
        caused_at_us=change.occurred_at_us if change.HasField("occurred_at_us") else None,
    )


def _movement(change: pb.MembershipChange) -> Movement:
    return Movement.ENTERED if change.entered else Movement.LEFT
