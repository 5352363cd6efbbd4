"""Tests the plan of a backfill: new requirements, the order of tasks, folding old events."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.kernel.fold.events import TRACK, EventView
from services.kernel.fold.leaf import LeafState, combine, encode, fold_event
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import LeafId, WorkspaceId
from services.kernel.rules.ids import accumulator_id, accumulator_of, predicate_id
from services.kernel.rules.model import CountPredicate, EventFilter, Predicate, TraitPredicate
from services.kernel.rules.values import Operator
from services.profile.domain.backfill import (
    AccumulatorBackfill,
    BackfillCursor,
    BackfillFold,
    BackfillStage,
    EvaluationSweep,
    PendingAccumulator,
    PendingPredicate,
    ScopedId,
    extend_index,
    new_requirements,
    next_task,
)
from services.profile.domain.facts import LogEvent

WORKSPACE, LEAF = WorkspaceId("w"), LeafId(bytes(16))
VIEWED = CountPredicate(EventFilter("viewed"), 10, Operator.GE, 1)
TWICE = CountPredicate(EventFilter("viewed"), 10, Operator.GE, 2)
BOUGHT = CountPredicate(EventFilter("bought"), 0, Operator.GE, 1)
LOCAL = TraitPredicate("city", Operator.EQ, "北京市")
INDEXES = {WORKSPACE: PredicateIndex([VIEWED, TWICE, BOUGHT, LOCAL])}


def key(predicate: Predicate) -> ScopedId:
    return ScopedId(WORKSPACE, predicate_id(predicate))


def pending(predicate: Predicate, live_from: int, filled_to: int = 0) -> PendingAccumulator:
    spec = accumulator_of(predicate)
    assert spec is not None
    return PendingAccumulator(ScopedId(WORKSPACE, accumulator_id(spec)), live_from, filled_to)


def waiting(*predicates: Predicate) -> list[PendingPredicate]:
    return [PendingPredicate(key(p), BackfillStage.WAITING) for p in predicates]


def test_index_extended_by_definitions_loses_no_predicate() -> None:
    first = extend_index({}, [(WORKSPACE, [VIEWED])])
    both = extend_index(first, [(WORKSPACE, [BOUGHT])])
    assert both[WORKSPACE].predicates.keys() == {predicate_id(VIEWED), predicate_id(BOUGHT)}
    assert new_requirements(first, both).predicates == {key(BOUGHT)}
    assert extend_index(both, [(WORKSPACE, [VIEWED])])[WORKSPACE] is both[WORKSPACE]


def test_predicate_over_an_existing_accumulator_needs_no_other() -> None:
    first = extend_index({}, [(WORKSPACE, [VIEWED])])
    new = new_requirements(first, extend_index(first, [(WORKSPACE, [TWICE, LOCAL])]))
    assert new.predicates == {key(TWICE), key(LOCAL)}
    assert new.accumulators == frozenset()


def test_ready_predicates_are_swept_before_any_event_is_read() -> None:
    incomplete = [pending(VIEWED, 5)]
    task = next_task(waiting(VIEWED, LOCAL), incomplete, INDEXES)
    assert task == EvaluationSweep(frozenset({key(LOCAL)}), is_new=True)
    sweeping = PendingPredicate(key(LOCAL), BackfillStage.SWEEPING)
    task = next_task([sweeping, *waiting(VIEWED)], incomplete, INDEXES)
    assert task == EvaluationSweep(frozenset({key(LOCAL)}), is_new=False)


def test_accumulators_at_one_offset_are_filled_together_and_the_furthest_first() -> None:
    predicates = waiting(VIEWED, BOUGHT)
    both = (pending(VIEWED, 5), pending(BOUGHT, 9))
    task = next_task(predicates, both, INDEXES)
    assert task == AccumulatorBackfill(both)
    assert isinstance(task, AccumulatorBackfill)
    assert (task.begin, task.end) == (0, 9)
    begun = pending(VIEWED, 5, filled_to=3)
    task = next_task(predicates, [pending(BOUGHT, 9), begun], INDEXES)
    assert task == AccumulatorBackfill((begun,))
    assert next_task([], [], INDEXES) is None


def test_cursors_of_a_job_differ_from_step_to_step() -> None:
    first = BackfillCursor.decode(b"")
    assert first == BackfillCursor(0, b"")
    second, third = first.next(), first.next().next(swept_to=b"leaf")
    assert len({first.encode(), second.encode(), second.next().encode(), third.encode()}) == 4
    assert BackfillCursor.decode(third.encode()) == third
    assert all(cursor.encode() for cursor in (first, second, third))


@given(
    st.lists(st.sampled_from(["viewed", "bought", "noise"]), max_size=20),
    st.integers(0, 20),
    st.integers(0, 20),
    st.lists(st.integers(0, 20), max_size=3),
)
def test_backfilled_accumulators_equal_those_folded_from_the_first_event(
    names: list[str], viewed_from: int, bought_from: int, cuts: list[int]
) -> None:
    events = [EventView(TRACK, name, at, bytes(16)) for at, name in enumerate(names)]
    state = LeafState()
    for at, event in enumerate(events):
        live = [VIEWED] * (at >= viewed_from) + [BOUGHT] * (at >= bought_from)
        fold_event(state, event, PredicateIndex(live))
    task = AccumulatorBackfill((pending(VIEWED, viewed_from), pending(BOUGHT, bought_from)))
    fold = BackfillFold(task, INDEXES)
    old = [LogEvent(at, WORKSPACE, LEAF, event) for at, event in enumerate(events)][: task.end]
    bounds = [0, *sorted(min(c, len(old)) for c in cuts), len(old)]
    for start, end in pairwise(bounds):
        for _, more in fold.fold(old[start:end]).values():
            state = combine(state, more)
    expected = LeafState()
    for event in events:
        fold_event(expected, event, INDEXES[WORKSPACE])
    assert encode(state) == encode(expected)
