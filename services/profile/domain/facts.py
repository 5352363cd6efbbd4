"""Defines the facts that profile folds, decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from services.kernel.fold.events import EventView
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import IdentifierId, LeafId, ProfileId, WorkspaceId
from services.kernel.rules.model import Predicate


@dataclass(frozen=True, slots=True)
class BroadcastFact:
    """A fact without a leaf, which the log appends to every shard."""

    #: Full name of the payload's message.
    kind: str
    #: The whole fact, serialised.
    fact: bytes
    #: The fact only says that time has passed.
    is_tick: bool
    #: The predicates that a definition needs; None where the fact defines no rule.
    predicates: tuple[Predicate, ...] | None = None


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
    def rule_predicates(self) -> tuple[Predicate, ...] | None:
        """The predicates of the rule that the fact defines; None where it defines none."""
        return None if self.broadcast is None else self.broadcast.predicates


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
