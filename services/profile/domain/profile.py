"""People as they are told outside, and as the facts of their leaves recall them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.kernel.fold.events import EventView
from services.kernel.fold.leaf import LeafState, ProfileView, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.identifiers import Identifier
from services.kernel.ids import FactId, LeafId, ProfileId
from services.profile.domain.accounts import AccountName


@dataclass(frozen=True, slots=True)
class Profile:
    """One person, as told outside."""

    profile_id: ProfileId
    identifiers: Sequence[Identifier]
    view: ProfileView
    tags: Sequence[str]
    leaf_ids: Sequence[LeafId]
    accounts: Sequence[AccountName] = ()


class Told(NamedTuple):
    """One event of a person, as the log keeps it."""

    leaf_id: LeafId
    event: EventView
    #: Those that it carries, in standard form.
    identifiers: tuple[Identifier, ...]


@dataclass(slots=True)
class Recalled:
    """A person as some facts tell."""

    view: ProfileView
    identifiers: set[Identifier] = field(default_factory=set)
    leaf_ids: list[LeafId] = field(default_factory=list)


def recall(told: Iterable[Told], catalogue: PredicateIndex) -> Recalled:
    """Fold events anew, with the series of a catalogue."""
    states: dict[LeafId, LeafState] = {}
    identifiers: set[Identifier] = set()
    for leaf_id, event, named in told:
        state = states.setdefault(leaf_id, LeafState())
        fold_event(state, event, catalogue)
        identifiers.update(named)
    return Recalled(view_of(states.values()), identifiers, sorted(states))


class Mark(NamedTuple):
    """A place in a timeline; what follows it is older."""

    occurred_at_us: int
    fact_id: FactId
    #: How many entries of this instant lie before it, itself included.
    entries: int


def mark_after(previous: Mark | None, page: list[tuple[int, FactId]]) -> Mark:
    """The place after a page, which is not empty and goes from newest to oldest."""
    occurred_at_us, fact_id = page[-1]
    count = sum(1 for at, _ in page if at == occurred_at_us)
    if previous is not None and previous.occurred_at_us == occurred_at_us:
        count += previous.entries
    return Mark(occurred_at_us, fact_id, count)
