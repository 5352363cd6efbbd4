"""Decodes what messages of segment change of the persons of decisions."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Any, Final

from onefold.segment.v1 import segment_stream_pb2 as pb

from services.activation.domain.decisions import ScopedPerson
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.journeys.inputs import CONSENT_FILTER_ID, MEMBERSHIP_PREFIX

_MEASURED: Final = (pb.MEMBERSHIP_CAUSE_RULE, pb.MEMBERSHIP_CAUSE_TIME)


def instants_of(messages: Iterable[Any], followed: Container[str]) -> list[int]:
    """Return the instants of changes by events and by time; replays of a history have no offset."""
    return [
        change.changed_at_us
        for message in messages
        if message.log_offset
        for change in message.changes
        if change.workspace_id in followed and change.cause in _MEASURED
    ]


def changes_of_persons(
    messages: Iterable[Any], followed: Container[str]
) -> Iterator[tuple[ScopedPerson, str, int]]:
    """Yield the person, the segment and the ordinal of each change of a membership."""
    for message in messages:
        for change in message.changes:
            hidden = change.segment_id.startswith(MEMBERSHIP_PREFIX)
            if change.workspace_id in followed and not hidden:
                yield _person(change, change.profile_id), change.segment_id, change.ordinal


def other_changes(messages: Iterable[Any], followed: Container[str]) -> Iterator[ScopedPerson]:
    """Yield the persons with other identifiers or another answer to a purpose."""
    for message in messages:
        for move in message.leaf_moves:
            if move.workspace_id in followed:
                yield _person(move, move.profile_id)
                yield _person(move, move.before_profile_id)
        for event in message.matched_events:
            if event.workspace_id in followed and CONSENT_FILTER_ID in event.filter_ids:
                yield _person(event, event.profile_id)


def _person(part: Any, profile_id: bytes) -> ScopedPerson:
    return ScopedPerson(WorkspaceId(part.workspace_id), ProfileId(profile_id))
