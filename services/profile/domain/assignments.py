"""Orders identifier assignments: the highest version wins, in any order of arrival."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from services.kernel.ids import IdentifierId, ProfileId
from services.profile.domain.facts import ProfileAssignment


class Reassignment(NamedTuple):
    """An identifier moves to a profile."""

    #: The profile it leaves; None where the identifier was unknown.
    before: ProfileId | None
    after: ProfileAssignment


def newest_assignments(
    assignments: Iterable[ProfileAssignment],
) -> dict[IdentifierId, ProfileAssignment]:
    """Return the assignment of each identifier with the highest version."""
    newest: dict[IdentifierId, ProfileAssignment] = {}
    for assignment in assignments:
        existing = newest.get(assignment.identifier_id)
        if existing is None or assignment.version > existing.version:
            newest[assignment.identifier_id] = assignment
    return newest


def reassignments(
    received: Mapping[IdentifierId, ProfileAssignment],
    stored: Mapping[IdentifierId, ProfileAssignment],
) -> list[Reassignment]:
    """Return how received assignments change the stored ones, ascending by identifier."""
    changed: list[Reassignment] = []
    for id_ in sorted(received):
        after, before = received[id_], stored.get(id_)
        if before is None or after.version > before.version:
            changed.append(Reassignment(before.profile_id if before else None, after))
    return changed


def lock_set(
    received: Mapping[IdentifierId, ProfileAssignment],
    stored: Mapping[IdentifierId, ProfileAssignment],
) -> set[bytes]:
    """Return the ids to lock before assignments change: profiles, and unknown identifiers."""
    ids: set[bytes] = set()
    for id_, assignment in received.items():
        existing = stored.get(id_)
        ids.add(existing.profile_id if existing else id_)
        if existing is None or assignment.version > existing.version:
            ids.add(assignment.profile_id)
    return ids
