"""Describes a profile as the API returns it, and replays one from the events of its leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from services.kernel.fold.events import EventView
from services.kernel.fold.leaf import LeafState, ProfileView, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import FactId, IdentifierId, LeafId, ProfileId
from services.kernel.rules.values import Json
from services.profile.domain.accounts import AccountName
from services.profile.domain.blocks import BlockNames, ProfileBlock, ProfileBlocks
from services.profile.domain.tags import TagOfProfile


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile as the API returns it."""

    profile_id: ProfileId
    identifiers: Sequence[Identifier]
    view: ProfileView
    #: Sorted.
    tags: Sequence[TagOfProfile]
    leaf_ids: Sequence[LeafId] = ()
    accounts: Sequence[AccountName] = ()
    #: The name and value of each computed trait that has one, by name.
    computed_traits: Sequence[tuple[str, Json]] = ()
    #: The ids of the segments whose rule was true; of a past profile only.
    past_segment_ids: Sequence[str] = ()
    #: The cleaner of each trait that has one by the settings, by name.
    cleaners: Mapping[str, str] = field(default_factory=dict)
    #: What the profile has in each of the five blocks of the view.
    blocks: Mapping[ProfileBlock, BlockNames] = field(default_factory=dict)
    #: Of the identifiers that are no leaves; not of a past profile.
    other_ids: Sequence[IdentifierId] = ()

    def in_blocks(self, blocks: ProfileBlocks) -> Profile:
        """Return the profile with its five blocks, and the cleaners of their settings."""
        computed = [name for name, _ in self.computed_traits]
        split = blocks.split(self.view.traits(), computed, self.tags)
        return replace(self, blocks=split, cleaners=blocks.cleaners)


class LeafEvent(NamedTuple):
    """One event of a profile as the log stores it."""

    leaf_id: LeafId
    event: EventView
    #: The identifiers on the event, in canonical form.
    identifiers: tuple[Identifier, ...]


@dataclass(slots=True)
class ReplayedProfile:
    """A profile folded from some of its events."""

    view: ProfileView
    identifiers: set[Identifier] = field(default_factory=set)
    leaf_ids: list[LeafId] = field(default_factory=list)


def replay(events: Iterable[LeafEvent], index: PredicateIndex) -> ReplayedProfile:
    """Fold the events of one profile, with the accumulators of an index."""
    states: dict[LeafId, LeafState] = {}
    identifiers: set[Identifier] = set()
    for leaf_id, event, event_identifiers in events:
        state = states.setdefault(leaf_id, LeafState())
        fold_event(state, event, index)
        identifiers.update(event_identifiers)
    return ReplayedProfile(view_of(states.values()), identifiers, sorted(states))


class TimelineCursor(NamedTuple):
    """The last entry of a page of a timeline; the next page is older."""

    occurred_at_us: int
    fact_id: FactId
    #: How many entries of this instant the pages so far have, this one included.
    entries: int


def cursor_after(
    previous: TimelineCursor | None, page: Sequence[tuple[int, FactId]]
) -> TimelineCursor:
    """Return the cursor after a page of (occurred_at_us, fact id), not empty, newest first."""
    occurred_at_us, fact_id = page[-1]
    count = sum(1 for at_us, _ in page if at_us == occurred_at_us)
    if previous is not None and previous.occurred_at_us == occurred_at_us:
        count += previous.entries
    return TimelineCursor(occurred_at_us, fact_id, count)
