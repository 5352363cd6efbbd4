"""Verdicts against the oracle, and the instants at which time alone changes them."""

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
from services.kernel.rules.evaluate import PredicateResult, evaluate_predicate, evaluate_rule
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
#: After this nothing of a random log is left in any window.
HORIZON = some.LATEST + some.LONGEST + 5


def profile(log: list[OracleEvent], rule: Rule) -> ProfileView:
    state, catalogue = LeafState(), PredicateIndex.from_rules([rule])
    for event in log:
        fold_event(state, some.view_of(event), catalogue)
    return view_of([state])


def newest(log: list[OracleEvent]) -> int:
    return max((event.occurred_at_us for event in log), default=0)


def bought(*instants: int) -> list[OracleEvent]:
    return [
        OracleEvent("track", "bought", at_us, i.to_bytes(16, "big"), {"n": at_us})
        for i, at_us in enumerate(instants)
    ]


def verdict(predicate: Predicate, log: list[OracleEvent], at_us: int) -> PredicateResult:
    return evaluate_predicate(predicate, profile(log, predicate), at_us)


@examples(150)
@given(some.rules, some.logs(), st.integers(0, HORIZON))
def test_a_rule_holds_as_the_oracle_says(rule: Rule, log: list[OracleEvent], later: int) -> None:
    view, at_us = profile(log, rule), newest(log) + later
    holds = {
        predicate_id(predicate)
        for predicate in predicates(rule)
        if evaluate_predicate(predicate, view, at_us).holds
    }
    assert evaluate_rule(rule, holds) == oracle.rule_holds(rule, log, at_us)


@examples(150)
@given(some.predicates, some.logs(), st.integers(0, HORIZON))
def test_a_verdict_tells_what_was_compared(
    predicate: Predicate, log: list[OracleEvent], later: int
) -> None:
    at_us = newest(log) + later
    told = verdict(predicate, log, at_us).actual
    assert told == oracle.actual(predicate, log, at_us)
    assert oracle.kind(told) == oracle.kind(oracle.actual(predicate, log, at_us))


@examples(150)
@given(some.predicates, some.logs())
def test_due_is_the_first_instant_of_change(predicate: Predicate, log: list[OracleEvent]) -> None:
    view, start = profile(log, predicate), newest(log)
    verdicts = [evaluate_predicate(predicate, view, t) for t in range(start, start + HORIZON)]
    told = [oracle.rule_holds(predicate, log, t) for t in range(start, start + HORIZON)]
    assert [v.holds for v in verdicts] == told
    for i, now in enumerate(verdicts):
        changes = (start + j for j in range(i, HORIZON) if told[j] is not now.holds)
        assert now.next_due_us == next(changes, None)


@examples(100)
@given(some.predicates, some.logs(), st.integers(-HORIZON, HORIZON))
def test_an_instant_before_the_newest_event_is_that_of_the_event(
    predicate: Predicate, log: list[OracleEvent], at_us: int
) -> None:
    later = max(at_us, newest(log)) if log else at_us
    assert verdict(predicate, log, at_us) == verdict(predicate, log, later)


@pytest.mark.parametrize(
    ("operator", "asked", "holds", "due_us"),
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
def test_due_of_three_events_in_seven_days(
    operator: Operator, asked: int, holds: bool, due_us: int | None
) -> None:
    predicate = CountPredicate(BOUGHT, 7 * DAY, operator, asked)
    assert verdict(predicate, bought(30, 10, 20), DAY) == (holds, 3, due_us)


def test_a_number_that_time_jumps_past_is_never_due() -> None:
    predicate = CountPredicate(BOUGHT, DAY, Operator.EQ, 1)
    assert verdict(predicate, bought(5, 5), 6) == (False, 2, None)


def test_the_old_edge_of_a_window_is_outside_and_the_instant_inside() -> None:
    predicate = CountPredicate(BOUGHT, DAY, Operator.GE, 1)
    assert verdict(predicate, bought(5), 5).holds
    assert verdict(predicate, bought(5), 5 + DAY - 1).holds
    assert not verdict(predicate, bought(5), 5 + DAY).holds


@pytest.mark.parametrize(
    ("operator", "just_before", "at", "just_after", "due_us"),
    [
        (Operator.LT, True, False, False, 5 + DAY),
        (Operator.LE, True, True, False, 5 + DAY + 1),
        (Operator.GT, False, False, True, 5 + DAY + 1),
        (Operator.GE, False, True, True, 5 + DAY),
    ],
)
def test_ages(
    operator: Operator, just_before: bool, at: bool, just_after: bool, due_us: int
) -> None:
    predicate = LastSeenPredicate(BOUGHT, operator, DAY)
    log = bought(1, 5)
    assert verdict(predicate, log, 5 + DAY - 1) == (just_before, DAY - 1, due_us)
    assert verdict(predicate, log, 5 + DAY).holds is at
    assert verdict(predicate, log, 5 + DAY + 1) == (just_after, DAY + 1, None)


def test_who_was_never_seen_has_no_age() -> None:
    for operator in (Operator.LT, Operator.LE, Operator.GT, Operator.GE):
        assert verdict(LastSeenPredicate(BOUGHT, operator, DAY), [], DAY) == (False, None, None)


def test_distinct_counts_a_value_while_its_newest_event_is_in_the_window() -> None:
    predicate = DistinctPredicate(BOUGHT, "n", DAY, Operator.GE, 2)
    log = [*bought(1, 2), OracleEvent("track", "bought", 9, b"x" * 16, {"n": 1})]
    assert verdict(predicate, log, 10) == (True, 2, 2 + DAY)


def test_joins_of_nothing() -> None:
    assert evaluate_rule(All(()), set())
    assert not evaluate_rule(Any_(()), set())
    assert not evaluate_rule(Not(All(())), set())


def test_a_rule_goes_by_the_ids_that_hold() -> None:
    a, b = TraitPredicate("city", Operator.EXISTS), TraitPredicate("age", Operator.GE, 18)
    rule = All((a, Not(b)))
    assert evaluate_rule(rule, frozenset({predicate_id(a)}))
    assert not evaluate_rule(rule, frozenset({predicate_id(a), predicate_id(b)}))
