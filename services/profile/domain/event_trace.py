"""Traces the events of one batch that lie far apart in time, to find which of them made a change.

A batch is folded at once. Where all events of a person took place within a minute, as those of live
traffic do, a change has the greatest of their times. Where they lie further apart, as in an import
of history, a profile that has changed is folded again, event by event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from services.kernel.fold.leaf import NEVER_US, LeafState, ProfileView, decode, fold_event
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import LeafId, ProfileId
from services.kernel.time import MINUTE_US
from services.profile.domain.facts import AttributedFact

#: Events of a profile that took place within so much time of its first one count as simultaneous.
APART_US: Final = MINUTE_US


class LeafTrace(NamedTuple):
    """A leaf before a batch, and its events in the batch."""

    #: Encoded; None = the leaf did not exist.
    before: bytes | None
    facts: list[AttributedFact]


class EventTrace(NamedTuple):
    """The events of one profile in a batch, in the order of the log."""

    #: The leaves that have events and existed before, encoded.
    before: dict[LeafId, bytes]
    facts: Sequence[AttributedFact]
    #: The states of the leaves without an event.
    others: Sequence[LeafState]

    def views(
        self, view: ProfileView, index: PredicateIndex, changed: Iterable[int]
    ) -> Iterator[tuple[int, ProfileView]]:
        """Yield the own time of each event that may have changed predicates, and the profile then.

        `view`: after all events; `changed`: the predicates. Evaluate each before the next one.
        """
        leaves = {leaf_id: decode(state) for leaf_id, state in self.before.items()}
        wanted = frozenset(changed)
        for fact in self.facts:
            if fact.event is None:
                continue
            is_new = fact.leaf_id not in leaves
            state = leaves.setdefault(fact.leaf_id, LeafState())
            affected = fold_event(state, fact.event, index)
            if is_new or not wanted.isdisjoint(affected):
                yield fact.event.occurred_at_us, view.with_leaves((*self.others, *leaves.values()))


def trace_of(leaves: Iterable[tuple[LeafTrace | None, LeafState, LeafId]]) -> EventTrace | None:
    """Return the trace of a profile with these leaves after a batch; None = no leaf has one."""
    before: dict[LeafId, bytes] = {}
    facts: list[AttributedFact] = []
    others: list[LeafState] = []
    for trace, state, leaf_id in leaves:
        if trace is None:
            others.append(state)
            continue
        facts += trace.facts
        if trace.before is not None:
            before[leaf_id] = trace.before
    facts.sort(key=lambda fact: fact.offset)
    return EventTrace(before, facts, others) if facts else None


def own_times(facts: Iterable[AttributedFact]) -> dict[ProfileId, int]:
    """Return the greatest own time of the events of each profile, Unix microseconds."""
    times: dict[ProfileId, int] = {}
    for fact in facts:
        event = fact.event
        if event is not None and event.occurred_at_us > times.get(fact.profile_id, NEVER_US):
            times[fact.profile_id] = event.occurred_at_us
    return times


def profiles_apart(facts: Sequence[AttributedFact]) -> frozenset[ProfileId]:
    """Return the profiles whose events among these facts do not count as simultaneous."""
    times = [fact.event.occurred_at_us for fact in facts if fact.event is not None]
    if not times or max(times) - min(times) <= APART_US:  # the usual case
        return frozenset()
    first: dict[ProfileId, int] = {}
    apart: set[ProfileId] = set()
    for fact in facts:
        if fact.event is not None:
            at_us = fact.event.occurred_at_us
            if abs(at_us - first.setdefault(fact.profile_id, at_us)) > APART_US:
                apart.add(fact.profile_id)
    return frozenset(apart)
