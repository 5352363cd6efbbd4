"""Models the persons of decisions, and which of them messages of segment change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from services.kernel.ids import ProfileId, WorkspaceId


class SlotPerson(NamedTuple):
    """What decisions need of a person."""

    profile_id: ProfileId
    #: By segment, `tag:ID`, `tag:ID=VALUE` and `stage:SET=STAGE`: the ordinal of the last change;
    #: odd = the person is in it.
    memberships: Mapping[str, int]
    refuses_profiling: bool

    @property
    def membership_ids(self) -> frozenset[str]:
        return frozenset(id_ for id_, ordinal in self.memberships.items() if ordinal % 2)


class ScopedPerson(NamedTuple):
    """A person of a workspace."""

    workspace_id: WorkspaceId
    profile_id: ProfileId


class ChangedPersons(NamedTuple):
    """What is to be folded into persons that decisions have read."""

    #: By person and segment: the ordinal of the last change.
    memberships: Mapping[ScopedPerson, Mapping[str, int]]
    #: The persons who may have changed in another way: they are read again.
    others: frozenset[ScopedPerson]


def changed_persons(
    changes: Iterable[tuple[ScopedPerson, str, int]], others: Iterable[ScopedPerson]
) -> ChangedPersons:
    """Return what changes of memberships (person, segment, ordinal), in any order, come to."""
    deleted = frozenset(others)
    newest: dict[ScopedPerson, dict[str, int]] = {}
    for person, segment_id, ordinal in changes:
        if person not in deleted:
            own = newest.setdefault(person, {})
            own[segment_id] = max(ordinal, own.get(segment_id, 0))
    return ChangedPersons(newest, deleted)
