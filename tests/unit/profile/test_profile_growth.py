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
    Asked,
    Fill,
    Filler,
    Key,
    Past,
    Series,
    Stage,
    Sweep,
    grown,
    news,
    next_task,
)
from services.profile.domain.facts import Notice

WORKSPACE, LEAF = WorkspaceId("w"), LeafId(bytes(16))
VIEWED = CountPredicate(EventFilter("viewed"), 10, Operator.GE, 1)
TWICE = CountPredicate(EventFilter("viewed"), 10, Operator.GE, 2)
BOUGHT = CountPredicate(EventFilter("bought"), 0, Operator.GE, 1)
LOCAL = TraitPredicate("city", Operator.EQ, "北京市")
CATALOGUES = {WORKSPACE: PredicateIndex([VIEWED, TWICE, BOUGHT, LOCAL])}


def key(predicate: Predicate) -> Key:
    return Key(WORKSPACE, predicate_id(predicate))


def series(predicate: Predicate, live_from: int, stage: Stage = Stage.WAITING) -> Series:
    kept = accumulator_of(predicate)
    assert kept is not None
    return Series(Key(WORKSPACE, accumulator_id(kept)), live_from, stage)


def asking(*predicates: Predicate) -> tuple[WorkspaceId, Notice]:
    return WORKSPACE, Notice("kind", b"", is_tick=False, asks=predicates)


def test_what_was_asked_for_once_is_asked_for_ever() -> None:
    first = grown({}, [asking(VIEWED)])
    both = grown(first, [asking(BOUGHT)])
    assert both[WORKSPACE].predicates.keys() == {predicate_id(VIEWED), predicate_id(BOUGHT)}
    assert news(first, both).predicates == {key(BOUGHT)}
    assert grown(both, [asking(VIEWED)])[WORKSPACE] is both[WORKSPACE]


def test_a_question_about_a_kept_series_asks_for_no_other() -> None:
    first = grown({}, [asking(VIEWED)])
    asked = news(first, grown(first, [asking(TWICE, LOCAL)]))
    assert asked.predicates == {key(TWICE), key(LOCAL)}
    assert asked.series == frozenset()


def test_who_can_be_asked_is_asked_before_anything_is_read() -> None:
    waiting = [Asked(key(p), Stage.WAITING) for p in (VIEWED, LOCAL)]
    missing = [series(VIEWED, 5)]
    assert next_task(waiting, missing, CATALOGUES) == Sweep(frozenset({key(LOCAL)}), is_new=True)
    at_work = [Asked(key(LOCAL), Stage.AT_WORK), waiting[0]]
    again = Sweep(frozenset({key(LOCAL)}), is_new=False)
    assert next_task(at_work, missing, CATALOGUES) == again


def test_series_are_read_together_but_not_added_to_a_reading_under_way() -> None:
    waiting = [Asked(key(p), Stage.WAITING) for p in (VIEWED, BOUGHT)]
    both = [series(VIEWED, 5), series(BOUGHT, 9)]
    task = next_task(waiting, both, CATALOGUES)
    assert task == Fill(tuple(both), is_new=True)
    assert isinstance(task, Fill)
    assert task.until == 9
    reading = [series(VIEWED, 5, Stage.AT_WORK), series(BOUGHT, 9)]
    assert next_task(waiting, reading, CATALOGUES) == Fill((reading[0],), is_new=False)
    assert next_task([], [], CATALOGUES) is None


@given(
    st.lists(st.sampled_from(["viewed", "bought", "noise"]), max_size=20),
    st.integers(0, 20),
    st.integers(0, 20),
    st.lists(st.integers(0, 20), max_size=3),
)
def test_reading_the_past_counts_nothing_twice_and_leaves_nothing_out(
    names: list[str], viewed_from: int, bought_from: int, cuts: list[int]
) -> None:
    events = [EventView(TRACK, name, at, bytes(16)) for at, name in enumerate(names)]
    kept = LeafState()
    for at, event in enumerate(events):
        asked = [VIEWED] * (at >= viewed_from) + [BOUGHT] * (at >= bought_from)
        fold_event(kept, event, PredicateIndex(asked))
    fill = Fill((series(VIEWED, viewed_from), series(BOUGHT, bought_from)), is_new=True)
    filler = Filler(fill, CATALOGUES)
    past = [Past(at, WORKSPACE, LEAF, event) for at, event in enumerate(events)][: fill.until]
    bounds = [0, *sorted(min(c, len(past)) for c in cuts), len(past)]
    for start, end in pairwise(bounds):
        for _, more in filler.fold(past[start:end]).values():
            kept = combine(kept, more)
    plain = LeafState()
    for event in events:
        fold_event(plain, event, CATALOGUES[WORKSPACE])
    assert encode(kept) == encode(plain)
