"""What came: facts with the profile of their leaf, definitions, and identity's assignments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from services.kernel.fold.events import EventView
from services.kernel.identifiers import Identifier
from services.kernel.ids import IdentifierId, LeafId, ProfileId, WorkspaceId
from services.kernel.rules.model import Predicate


@dataclass(frozen=True, slots=True)
class Notice:
    """A fact that concerns no person."""

    #: Full name of the payload's message.
    kind: str
    #: The whole fact, serialised.
    fact: bytes
    #: Time has passed, and nothing else.
    is_tick: bool
    #: The predicates that a definition asks for; None where the fact defines no rule.
    asks: tuple[Predicate, ...] | None = None


class Entry(NamedTuple):
    """One fact of the log, as this room sees it."""

    offset: int
    #: Unix microseconds.
    recorded_at_us: int
    workspace_id: WorkspaceId
    #: Zeros where there is no leaf.
    leaf_id: LeafId
    #: The profile of the leaf as identity knew it.
    profile_id: ProfileId
    #: Set where the fact is an event.
    event: EventView | None
    #: Set where the fact concerns no person.
    notice: Notice | None


class Assignment(NamedTuple):
    """An identifier belongs to a profile. The highest version wins."""

    workspace_id: WorkspaceId
    identifier_id: IdentifierId
    profile_id: ProfileId
    version: int
    #: The standard form; None where only the id is known.
    identifier: Identifier | None
