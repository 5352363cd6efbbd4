"""Tests that the work of one event grows linearly with the predicates that it concerns."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from services.kernel.fold import leaf
from services.kernel.fold.events import IDENTIFY, TRACK, EventView
from services.kernel.fold.leaf import LeafState, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.rules import values
from services.kernel.rules.filters import PropertyFilter
from services.kernel.rules.model import Predicate
from services.kernel.rules.values import LONG_LIST, Operator
from services.kernel.rules.values import comparison_of as compile_test
from tests.rule_builders import count_of, events_named, trait_is

FEW, MANY = 250, 4_000


def filtered(number: int) -> Predicate:
    where = PropertyFilter("p", Operator.LT, 10 + number)
    return count_of(events_named("viewed", (where,)), 0, Operator.GE, 3)


def contains(number: int) -> Predicate:
    return trait_is("courses", Operator.CONTAINS, f"c-{number}")


def track(number: int, **properties: Any) -> EventView:
    return EventView(
        TRACK, "viewed", number, number.to_bytes(16, "big"), json.dumps(properties).encode()
    )


def identify(**traits: Any) -> EventView:
    return EventView(IDENTIFY, "", 1, bytes(16), b"", json.dumps(traits).encode())


def steps(work: Callable[[], object]) -> int:
    """Return how many lines of Python some work runs, and how many functions it calls.

    On a busy machine the time of the same work differs several times.
    """
    count = 0

    def note(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event in ("line", "c_call")
        return note

    sys.settrace(note)
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        sys.settrace(None)
    return count


def test_first_event_costs_in_proportion_to_its_predicates() -> None:
    """Sixteen times the predicates; work that grew with their square would cost 256 times."""
    few, many = (PredicateIndex(map(filtered, range(n))) for n in (FEW, MANY))
    baseline = steps(lambda: fold_event(LeafState(), track(1, p=1), few))
    assert baseline > FEW
    assert steps(lambda: fold_event(LeafState(), track(1, p=1), many)) < baseline * 20


def test_next_event_costs_in_proportion_to_its_predicates() -> None:
    costs = []
    for number in (FEW, MANY):
        index, state = PredicateIndex(map(filtered, range(number))), LeafState()
        affected = fold_event(state, track(1, p=1), index)
        assert len(affected) == len(state.accumulators) == number
        costs.append(steps(lambda i=index, s=state: fold_event(s, track(2, p=1), i)))
    assert costs[0] > FEW
    assert costs[1] < costs[0] * 20


def test_trait_is_decoded_once_for_all_predicates(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []
    read_value = leaf.read_value
    monkeypatch.setattr(leaf, "read_value", lambda raw: decoded.append(raw) or read_value(raw))
    index, state = PredicateIndex(map(contains, range(FEW))), LeafState()
    fold_event(state, identify(courses=["c-7"]), index)
    view = view_of([state])
    holding = [p.id for p in index.predicates.values() if p.evaluate(view, 1).holds]
    assert len(holding) == 1
    assert len(decoded) == 1


def test_absent_trait_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    view = view_of([LeafState()])
    assert view.trait("courses") is None
    monkeypatch.setattr(type(view), "trait_value", None)
    assert view.trait("courses") is None


def test_long_list_is_read_once_for_all_predicates(monkeypatch: pytest.MonkeyPatch) -> None:
    index, state = PredicateIndex(map(contains, range(FEW))), LeafState()
    courses = [f"c-{n}" for n in range(1_000)]
    fold_event(state, identify(courses=courses), index)
    keys: list[object] = []
    scalar_key = values.scalar_key
    monkeypatch.setattr(values, "scalar_key", lambda value: keys.append(value) or scalar_key(value))
    view = view_of([state])
    assert all(p.evaluate(view, 1).holds for p in index.predicates.values())
    assert len(keys) == len(courses)


def test_accumulators_of_several_leaves_are_combined_once(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = [count_of(events_named("viewed"), 1_000_000 * n, Operator.GE, 2) for n in range(FEW)]
    index, states = PredicateIndex(windows), [LeafState() for _ in range(20)]
    for number, state in enumerate(states):
        fold_event(state, track(number), index)
    combined: list[int] = []
    combine = leaf.combine_accumulators
    monkeypatch.setattr(
        leaf, "combine_accumulators", lambda parts: combined.append(len(parts)) or combine(parts)
    )
    view = view_of(states)
    assert all(p.evaluate(view, 1).actual == 20 for p in index.predicates.values())
    assert combined == [len(states)]


@pytest.mark.parametrize(
    "literal", ["a", "1", "true", 1, 1.5, 0, True, False, 2**60], ids=lambda value: repr(value)
)
def test_long_and_short_lists_contain_the_same(literal: Any) -> None:
    elements = ["a", "1", 1, 1.0, 0, -0.0, True, False, None, [1], {"a": 1}, 2.0**60, 1.5, "true"]
    contains_literal = compile_test(Operator.CONTAINS, literal)
    filler = [f"filler {n}" for n in range(LONG_LIST)]
    for element in elements:
        assert contains_literal([element]) is contains_literal([*filler, element]), element
