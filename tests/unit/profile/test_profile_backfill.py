"""Tests the plan of a backfill: what definitions need, the order of sweeps, filling leaves."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.kernel.fold.events import TRACK, EventView
from services.kernel.fold.leaf import LeafState, encode, fold_event
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import LeafId, WorkspaceId
from services.kernel.rules.ids import accumulator_id, predicate_id
from services.kernel.rules.inputs import accumulators_of
from services.kernel.rules.model import Predicate
from services.kernel.rules.values import Operator
from services.profile.domain.backfill import (
    BackfillCursor,
    BackfillStage,
    LeafRefill,
    ScopedId,
    Sweep,
    incomplete_accumulators,
    index_change,
    index_of,
    next_sweep,
    page_within,
    scoped_ids,
    union_of,
)
from services.profile.domain.facts import LogEvent, RuleDefinition
from tests.rule_builders import count_of, events_named, trait_is

WORKSPACE, LEAF = WorkspaceId("w"), LeafId(bytes(16))
VIEWED = count_of(events_named("viewed"), 10, Operator.GE, 1)
TWICE = count_of(events_named("viewed"), 10, Operator.GE, 2)
BOUGHT = count_of(events_named("bought"), 0, Operator.GE, 1)
LOCAL = trait_is("city", Operator.EQ, "北京市")
INDEX = PredicateIndex([VIEWED, TWICE, BOUGHT, LOCAL])
WAITING, SWEEPING, BACKFILLED, DROPPED, ERASING = BackfillStage


def key(predicate: Predicate) -> ScopedId:
    return ScopedId(WORKSPACE, predicate_id(predicate))


def ids(*predicates: Predicate) -> frozenset[int]:
    return frozenset(map(predicate_id, predicates))


def accumulators(*predicates: Predicate) -> frozenset[int]:
    specs = [spec for predicate in predicates for spec in accumulators_of(predicate.feature)]
    return frozenset(map(accumulator_id, specs))


def defined(name: str, *predicates: Predicate, version: int = 1) -> RuleDefinition:
    return RuleDefinition(WORKSPACE, "segment", name, version, None, predicates)


def test_index_has_the_predicates_of_the_newest_versions_only() -> None:
    versions = [
        defined("a", VIEWED),
        defined("a", BOUGHT, version=2),
        defined("b", LOCAL),
        defined("b", version=2),
    ]
    for order in (versions, versions[::-1]):
        assert scoped_ids(index_of(order)) == {key(BOUGHT)}
    assert index_of([defined("b", version=2)]) == {}


def test_index_of_the_same_predicates_is_used_again() -> None:
    known = index_of([defined("a", VIEWED, BOUGHT)])
    again = index_of([defined("b", BOUGHT), defined("c", VIEWED)], known)
    assert again[WORKSPACE] is known[WORKSPACE]
    assert union_of([known, again])[WORKSPACE] is known[WORKSPACE]


def test_union_has_the_predicates_of_each_shard() -> None:
    union = union_of([index_of([defined("a", VIEWED)]), {}, index_of([defined("a", LOCAL)])])
    assert scoped_ids(union) == {key(VIEWED), key(LOCAL)}


def test_change_names_what_is_added_and_what_is_dropped() -> None:
    before, after = index_of([defined("a", VIEWED, LOCAL)]), index_of([defined("a", LOCAL, BOUGHT)])
    change = index_change(before, after)
    assert (change.added, change.dropped) == ({key(BOUGHT)}, {key(VIEWED)})
    assert change.workspaces == [WORKSPACE]
    assert index_change(before, before).workspaces == []


def test_sweep_under_way_ends_before_what_waits() -> None:
    stages = dict(zip(ids(VIEWED), [SWEEPING], strict=True)) | dict.fromkeys(ids(LOCAL), WAITING)
    assert next_sweep(stages, ()) == Sweep(ids(VIEWED), frozenset())
    stages = dict.fromkeys(ids(VIEWED), BACKFILLED) | dict.fromkeys(ids(LOCAL), WAITING)
    assert next_sweep(stages, ()) == Sweep(ids(LOCAL), frozenset())
    assert not next_sweep(dict.fromkeys(ids(VIEWED, LOCAL), BACKFILLED), ())


def test_dropped_predicate_is_erased_when_no_shard_needs_it() -> None:
    stages = dict.fromkeys(ids(VIEWED, LOCAL), DROPPED)
    assert next_sweep(stages, ids(LOCAL)) == Sweep(frozenset(), ids(VIEWED))
    assert not next_sweep(stages, ids(VIEWED, LOCAL))
    erasing = dict.fromkeys(ids(VIEWED), ERASING)
    assert next_sweep(erasing, ids(VIEWED)) == Sweep(frozenset(), ids(VIEWED))


def test_accumulator_is_complete_where_a_backfilled_predicate_reads_it() -> None:
    sweep = Sweep(ids(TWICE, BOUGHT, LOCAL), frozenset())
    stages = dict.fromkeys(sweep.added, SWEEPING)
    assert incomplete_accumulators(INDEX, stages, sweep) == accumulators(VIEWED, BOUGHT)
    stages |= dict.fromkeys(ids(VIEWED), BACKFILLED)
    assert incomplete_accumulators(INDEX, stages, sweep) == accumulators(BOUGHT)
    stages |= dict.fromkeys(ids(VIEWED), DROPPED)
    assert incomplete_accumulators(INDEX, stages, sweep) == accumulators(VIEWED, BOUGHT)


@given(
    names=st.lists(st.sampled_from(["viewed", "bought", "other"]), max_size=20),
    registered_at=st.integers(0, 20),
    repeats=st.integers(1, 2),
)
def test_filled_leaf_equals_one_folded_with_the_index_from_the_first_event(
    names: list[str], registered_at: int, repeats: int
) -> None:
    events = [EventView(TRACK, name, at, bytes(16)) for at, name in enumerate(names)]
    live, expected = LeafState(), LeafState()
    before, after = PredicateIndex([BOUGHT]), PredicateIndex([VIEWED, TWICE, LOCAL])
    for at, event in enumerate(events):
        fold_event(live, event, before if at < registered_at else after)
        fold_event(expected, event, after)
    for _ in range(repeats):
        refill = LeafRefill(after, accumulators(VIEWED))
        assert refill.needs_events
        refill.add(LogEvent(at, WORKSPACE, LEAF, event) for at, event in enumerate(events))
        refill.apply(LEAF, live)
    assert encode(live) == encode(expected)


def test_leaf_that_lacks_no_events_loses_what_no_rule_needs() -> None:
    state = LeafState()
    for at, name in enumerate(["viewed", "bought"]):
        fold_event(state, EventView(TRACK, name, at, bytes(16)), INDEX)
    refill = LeafRefill(PredicateIndex([VIEWED]), frozenset())
    assert not refill.needs_events
    refill.apply(LEAF, state)
    assert state.accumulators.keys() == accumulators(VIEWED)


def test_page_has_at_least_one_leaf_and_few_events() -> None:
    assert page_within([5, 5, 5], 10) == 2
    assert page_within([11, 1], 10) == 1
    assert page_within([1, 1], 10) == 2
    assert page_within([], 10) == 0


def test_each_step_changes_the_cursor() -> None:
    cursors = [BackfillCursor()]
    for leaf in (b"", b"", LEAF, b""):
        cursors.append(cursors[-1].next(swept_to=leaf))
    encoded = [cursor.encode() for cursor in cursors]
    assert all(a != b for a, b in pairwise(encoded))
    assert [BackfillCursor.decode(raw) for raw in encoded] == cursors
    assert BackfillCursor.decode(b"") == BackfillCursor()
