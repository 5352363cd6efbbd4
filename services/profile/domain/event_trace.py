"""Traces the events of one batch that lie far apart in time, to find which of them made a change.

A batch is folded at once. Where all events of a person took place within a minute, as those of live
traffic do, a change has the greatest of their times. Where they lie further apart, as in an import
of history, a profile that has changed is folded again, event by event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from services.kernel.fold.events import EventView
from services.kernel.fold.leaf import NEVER_US, LeafState, ProfileView, decode, fold_event
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import LeafId, ProfileId
from services.kernel.time import MINUTE_US
from services.profile.domain.facts import AttributedFact, ProfileAssignment

#: Events of a profile that took place within so much time of its first one count as simultaneous.
APART_US: Final = MINUTE_US


class TracedEvent(NamedTuple):
    """An event, and the predicates that folding it may have changed."""

    #: In the log.
    offset: int
    leaf_id: LeafId
    event: EventView
    affected: frozenset[int]
    #: Whether it is the first event of its leaf.
    is_first: bool

    def concerns(self, predicates: frozenset[int]) -> bool:
        """Return whether some predicates may depend on it, now or by the limit of traits."""
        event = self.event
        has_traits = event.traits or event.touch or event.record is not None
        return bool(has_traits) or not predicates.isdisjoint(self.affected)


class LeafTrace(NamedTuple):
    """A leaf before a batch, and its events in the batch."""

    #: Encoded; None = the leaf did not exist.
    before: bytes | None
    events: list[TracedEvent]

    def add(self, offset: int, leaf_id: LeafId, event: EventView, affected: frozenset[int]) -> None:
        """Add the next event of the leaf; see `TracedEvent`."""
        is_first = self.before is None and not self.events
        self.events.append(TracedEvent(offset, leaf_id, event, affected, is_first))


#: The leaves of a profile after a batch, each with its trace; None = it has no event there.
TracedLeaves: TypeAlias = Sequence[tuple[LeafTrace | None, LeafState, LeafId]]


class EventTrace(NamedTuple):
    """The events of one profile in a batch, in the order of the log."""

    #: The leaves that have events and existed before, encoded.
    before: dict[LeafId, bytes]
    events: Sequence[TracedEvent]
    #: The states of the leaves without an event.
    others: Sequence[LeafState]

    def views(
        self, view: ProfileView, index: PredicateIndex, changed: Iterable[int]
    ) -> Iterator[tuple[int, ProfileView | None, frozenset[int]]]:
        """Yield the own time of each event that may have changed predicates, the profile then, and
        which of them it may have changed.

        `view`: after all events; `changed`: the predicates. Evaluate each before the next one.

        The last one comes without a profile, as nothing changes the predicates after it. So nothing
        is folded again where a single event may have changed them.
        """
        wanted = frozenset(changed)
        found = [
            number
            for number, one in enumerate(self.events)
            if one.is_first or not wanted.isdisjoint(one.affected)
        ]
        if not found:
            return
        *earlier, last = found
        states = {id_: decode(state) for id_, state in self.before.items()} if earlier else {}
        begin = 0
        for position, number in enumerate(earlier):
            for one in self.events[begin : number + 1]:
                if one.is_first or one.concerns(wanted):
                    fold_event(states.setdefault(one.leaf_id, LeafState()), one.event, index)
            one, begin = self.events[number], number + 1
            then = view.with_leaves((*self.others, *states.values()))
            # At first also what no event has changed, such as a merge.
            affected = one.affected if position and not one.is_first else wanted
            yield one.event.occurred_at_us, then, wanted & affected
        yield self.events[last].event.occurred_at_us, None, wanted


def trace_of(leaves: TracedLeaves) -> EventTrace:
    """Return the trace of a profile with these leaves."""
    before: dict[LeafId, bytes] = {}
    events: list[TracedEvent] = []
    others: list[LeafState] = []
    for trace, state, leaf_id in leaves:
        if trace is None:
            others.append(state)
            continue
        events += trace.events
        if trace.before is not None:
            before[leaf_id] = trace.before
    if len(leaves) > 1:
        events.sort(key=lambda one: one.offset)
    return EventTrace(before, events, others)


def own_times(facts: Iterable[AttributedFact]) -> dict[ProfileId, int]:
    """Return the greatest own time of the events of each profile, Unix microseconds."""
    times: dict[ProfileId, int] = {}
    for fact in facts:
        event = fact.event
        if event is not None and event.occurred_at_us > times.get(fact.profile_id, NEVER_US):
            times[fact.profile_id] = event.occurred_at_us
    return times


def leaves_apart(
    facts: Sequence[AttributedFact], assignments: Iterable[ProfileAssignment] = ()
) -> frozenset[LeafId]:
    """Return the leaves of profiles whose events among these facts do not count as simultaneous.

    `assignments`: those that come with the facts, the newest last. Leaves that they join are of one
    profile, although the facts before them name another one.
    """
    moved = {LeafId(one.identifier_id): one.profile_id for one in assignments}
    first: dict[ProfileId, int] = {}
    apart: set[ProfileId] = set()
    for _, _, _, leaf_id, profile_id, event, _ in facts:
        if event is None:
            continue
        if moved:
            profile_id = moved.get(leaf_id, profile_id)
        at_us = event.occurred_at_us
        first_us = first.setdefault(profile_id, at_us)
        if at_us - first_us > APART_US or first_us - at_us > APART_US:
            apart.add(profile_id)
    if not apart:  # the usual case
        return frozenset()
    return frozenset(fact.leaf_id for fact in facts if _profile_of(fact, moved) in apart)


def _profile_of(fact: AttributedFact, moved: Mapping[LeafId, ProfileId]) -> ProfileId:
    return moved.get(fact.leaf_id, fact.profile_id)
