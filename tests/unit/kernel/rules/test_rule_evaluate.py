"""Results equal those of the oracle, and so do the instants at which time alone changes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import rules_oracle as oracle
from oracle import rules_strategies as some
from oracle.rules_oracle import OracleEvent
from properties import examples

from services.kernel.fold.leaf import LeafState, ProfileView, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.rules.evaluate import PredicateResult, compile_rule, evaluate_predicate
from services.kernel.rules.ids import predicate_id, predicates
from services.kernel.rules.model import (
    All,
    Any_,
    CountPredicate,
    DistinctPredicate,
    EventFilter,
    LastSeenPredicate,
    Not,
    Predicate,
    Rule,
    TraitPredicate,
)
from services.kernel.rules.values import Operator

DAY = 86_400_000_000
BOUGHT = EventFilter("bought")
#: After this every window of a random log is empty.
HORIZON = some.LATEST + some.LONGEST + 5


def profile(log: list[OracleEvent], rule: Rule) -> ProfileView:
    state, index = LeafState(), PredicateIndex.from_rules([rule])
    for event in log:
        fold_event(state, some.view_of(event), index)
    return view_of([state])


def newest(log: list[OracleEvent]) -> int:
    return max((event.occurred_at_us for event in log), default=0)


def bought(*instants: int) -> list[OracleEvent]:
    return [
        OracleEvent("track", "bought", time, i.to_bytes(16, "big"), {"n": time})
        for i, time in enumerate(instants)
    ]


def result_of(predicate: Predicate, log: list[OracleEvent], as_of_us: int) -> PredicateResult:
    return evaluate_predicate(predicate, profile(log, predicate), as_of_us)


@examples(150)
@given(some.rules, some.logs(), st.integers(0, HORIZON))
def test_rule_evaluates_as_the_oracle_does(rule: Rule, log: list[OracleEvent], later: int) -> None:
    view, as_of_us = profile(log, rule), newest(log) + later
    true_predicates = {
        predicate_id(predicate)
        for predicate in predicates(rule)
        if evaluate_predicate(predicate, view, as_of_us).holds
    }
    assert compile_rule(rule)(true_predicates) == oracle.rule_holds(rule, log, as_of_us)


@examples(150)
@given(some.predicates, some.logs(), st.integers(0, HORIZON))
def test_result_has_the_compared_value(
    predicate: Predicate, log: list[OracleEvent], later: int
) -> None:
    as_of_us = newest(log) + later
    actual, expected = (
        result_of(predicate, log, as_of_us).actual,
        oracle.actual(predicate, log, as_of_us),
    )
    assert actual == expected
    assert oracle.kind(actual) == oracle.kind(expected)


@examples(150)
@given(some.predicates, some.logs())
def test_next_due_is_the_first_instant_of_change(
    predicate: Predicate, log: list[OracleEvent]
) -> None:
    view, start = profile(log, predicate), newest(log)
    results = [evaluate_predicate(predicate, view, t) for t in range(start, start + HORIZON)]
    expected = [oracle.rule_holds(predicate, log, t) for t in range(start, start + HORIZON)]
    assert [r.holds for r in results] == expected
    for i, now in enumerate(results):
        changes = (start + j for j in range(i, HORIZON) if expected[j] is not now.holds)
        assert now.next_due_us == next(changes, None)


@examples(100)
@given(some.predicates, some.logs(), st.integers(-HORIZON, HORIZON))
def test_instant_before_the_newest_event_counts_as_that_of_the_event(
    predicate: Predicate, log: list[OracleEvent], as_of_us: int
) -> None:
    later = max(as_of_us, newest(log)) if log else as_of_us
    assert result_of(predicate, log, as_of_us) == result_of(predicate, log, later)


@pytest.mark.parametrize(
    ("operator", "limit", "holds", "due_us"),
    [
        (Operator.GE, 3, True, 10 + 7 * DAY),
        (Operator.GE, 2, True, 20 + 7 * DAY),
        (Operator.GE, 0, True, None),
        (Operator.GE, 4, False, None),
        (Operator.GT, 2, True, 10 + 7 * DAY),
        (Operator.LT, 3, False, 10 + 7 * DAY),
        (Operator.LE, 3, True, None),
        (Operator.LE, 1, False, 20 + 7 * DAY),
        (Operator.EQ, 3, True, 10 + 7 * DAY),
        (Operator.EQ, 2, False, 10 + 7 * DAY),
        (Operator.NE, 0, True, 30 + 7 * DAY),
    ],
)
def test_next_due_of_three_events_in_seven_days(
    operator: Operator, limit: int, holds: bool, due_us: int | None
) -> None:
    predicate = CountPredicate(BOUGHT, 7 * DAY, operator, limit)
    assert result_of(predicate, bought(30, 10, 20), DAY) == (holds, 3, due_us)


def test_count_that_expiries_skip_is_never_due() -> None:
    predicate = CountPredicate(BOUGHT, DAY, Operator.EQ, 1)
    assert result_of(predicate, bought(5, 5), 6) == (False, 2, None)


def test_window_excludes_its_start_and_includes_its_end() -> None:
    predicate = CountPredicate(BOUGHT, DAY, Operator.GE, 1)
    assert result_of(predicate, bought(5), 5).holds
    assert result_of(predicate, bought(5), 5 + DAY - 1).holds
    assert not result_of(predicate, bought(5), 5 + DAY).holds


@pytest.mark.parametrize(
    ("operator", "just_before", "at", "just_after", "due_us"),
    [
        (Operator.LT, True, False, False, 5 + DAY),
        (Operator.LE, True, True, False, 5 + DAY + 1),
        (Operator.GT, False, False, True, 5 + DAY + 1),
        (Operator.GE, False, True, True, 5 + DAY),
    ],
)
def test_age_is_compared_at_its_limit(
    operator: Operator, just_before: bool, at: bool, just_after: bool, due_us: int
) -> None:
    predicate = LastSeenPredicate(BOUGHT, operator, DAY)
    log = bought(1, 5)
    assert result_of(predicate, log, 5 + DAY - 1) == (just_before, DAY - 1, due_us)
    assert result_of(predicate, log, 5 + DAY).holds is at
    assert result_of(predicate, log, 5 + DAY + 1) == (just_after, DAY + 1, None)


def test_profile_without_matching_events_has_no_age() -> None:
    for operator in (Operator.LT, Operator.LE, Operator.GT, Operator.GE):
        assert result_of(LastSeenPredicate(BOUGHT, operator, DAY), [], DAY) == (False, None, None)


def test_distinct_value_counts_while_its_newest_event_is_in_the_window() -> None:
    predicate = DistinctPredicate(BOUGHT, "n", DAY, Operator.GE, 2)
    log = [*bought(1, 2), OracleEvent("track", "bought", 9, b"x" * 16, {"n": 1})]
    assert result_of(predicate, log, 10) == (True, 2, 2 + DAY)


def test_empty_all_is_true_and_empty_any_is_false() -> None:
    assert compile_rule(All(()))(set())
    assert not compile_rule(Any_(()))(set())
    assert not compile_rule(Not(All(())))(set())


def test_rule_is_evaluated_from_the_true_predicates() -> None:
    a, b = TraitPredicate("city", Operator.EXISTS), TraitPredicate("age", Operator.GE, 18)
    rule = All((a, Not(b)))
    test = compile_rule(rule)
    assert test(frozenset({predicate_id(a)}))
    assert not test(frozenset({predicate_id(a), predicate_id(b)}))
