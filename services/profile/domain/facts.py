"""Defines the facts that profile folds, decoded, and orders the assignments of identifiers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from services.kernel.digest import row_digest
from services.kernel.erasures import PersonErasure
from services.kernel.fold.events import EventView
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import IdentifierId, LeafId, ProfileId, WorkspaceId
from services.kernel.journeys.inputs import JourneyStop
from services.kernel.journeys.model import Journey
from services.kernel.rules.model import Predicate, Rule
from services.kernel.rules.references import Classification, Name


class RuleDefinition(NamedTuple):
    """One version of a definition that needs predicates or events of persons.

    It is that of a tag, a segment, the settings, a journey, a stop of a journey, or a slot.
    """

    workspace_id: WorkspaceId
    #: Full name of the payload's message.
    kind: str
    #: The id of the tag, the segment or the journey; empty for the settings.
    key: str
    version: int
    #: The name that references to it have, and its rules; None where the version is retired, and
    #: where it cannot be decoded.
    named: tuple[Name, Classification] | None
    #: Predicates that are needed beside those of the rules.
    predicates: tuple[Predicate, ...] = ()
    #: Rules without a name.
    rules: tuple[Rule, ...] = ()
    #: Set where it defines a journey.
    journey: Journey | None = None
    #: Set where it pauses, resumes or stops a journey.
    stop: JourneyStop | None = None
    #: Whether it defines a slot, or retires one: all slots of a workspace wait for the same.
    is_slot: bool = False


@dataclass(frozen=True, slots=True)
class BroadcastFact:
    """A fact without a leaf, which the log appends to every shard."""

    #: Full name of the payload's message.
    kind: str
    #: The whole fact, serialised.
    fact: bytes
    #: The fact is a tick of the log's clock.
    is_tick: bool
    #: None where the fact defines no rule.
    rule_definition: RuleDefinition | None = None
    #: Set where it says that a person was erased.
    erasure: PersonErasure | None = None


class AttributedFact(NamedTuple):
    """A fact of the log with the profile that identity resolved for its leaf."""

    offset: int
    #: Unix microseconds.
    recorded_at_us: int
    workspace_id: WorkspaceId
    #: Zeros where there is no leaf.
    leaf_id: LeafId
    #: The profile of the leaf when identity folded the fact; zeros where there is no leaf.
    profile_id: ProfileId
    #: Set where the fact is an event.
    event: EventView | None
    #: Set where the fact has no leaf.
    broadcast: BroadcastFact | None

    @property
    def rule_definition(self) -> RuleDefinition | None:
        """The rule that the fact defines; None where it defines none."""
        return None if self.broadcast is None else self.broadcast.rule_definition

    @property
    def erasure(self) -> PersonErasure | None:
        """The person that the fact says was erased; None where it says so of none."""
        return None if self.broadcast is None else self.broadcast.erasure

    @property
    def concerns_journeys(self) -> bool:
        """Whether the fact may change what journeys and slots wait for."""
        rules = self.rule_definition
        return rules is not None and bool(rules.journey or rules.stop or rules.is_slot)


class LogEvent(NamedTuple):
    """An event read from the log itself, without a profile."""

    offset: int
    workspace_id: WorkspaceId
    leaf_id: LeafId
    event: EventView


class ProfileAssignment(NamedTuple):
    """An identifier belongs to a profile. The highest version wins."""

    workspace_id: WorkspaceId
    identifier_id: IdentifierId
    profile_id: ProfileId
    version: int
    #: The canonical form; None where only the id is known.
    identifier: Identifier | None


#: By identifier.
Assignments: TypeAlias = Mapping[IdentifierId, ProfileAssignment]


class Reassignment(NamedTuple):
    """An identifier moves to a profile."""

    #: The profile it leaves; None where the identifier was unknown.
    before: ProfileId | None
    after: ProfileAssignment

    @property
    def delta(self) -> int:
        """The change of the workspace's digest."""
        id_, after, before = self.after.identifier_id, self.after.profile_id, self.before
        return assignment_share(id_, after) - (assignment_share(id_, before) if before else 0)


def assignment_share(identifier_id: IdentifierId, profile_id: ProfileId) -> int:
    """Return the share that an assignment's row has in the digest of its workspace."""
    return row_digest(b"assignment", identifier_id, profile_id)


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


def reassignments(received: Assignments, stored: Assignments) -> list[Reassignment]:
    """Return how received assignments change the stored ones, ascending by identifier."""
    changed: list[Reassignment] = []
    for id_ in sorted(received):
        after, before = received[id_], stored.get(id_)
        if before is None or after.version > before.version:
            changed.append(Reassignment(before.profile_id if before else None, after))
    return changed


def lock_set(
    received: Assignments, stored: Assignments, members: Iterable[LeafId] = ()
) -> set[bytes]:
    """Return the ids to lock before assignments change: profiles, and unknown identifiers.

    `members`: further identifiers whose profiles are locked as they are stored.
    """
    ids: set[bytes] = set()
    for leaf_id in members:
        known = stored.get(IdentifierId(leaf_id))
        ids.add(known.profile_id if known else leaf_id)
    for id_, assignment in received.items():
        existing = stored.get(id_)
        ids.add(existing.profile_id if existing else id_)
        if existing is None or assignment.version > existing.version:
            ids.add(assignment.profile_id)
    return ids
