"""Results equal those of the oracle, and so do the instants at which time alone changes them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import rules_oracle as oracle
from oracle import rules_strategies as some
from oracle.differential import first_disagreement, make_case
from oracle.random_rules import FEATURES
from oracle.rules_oracle import OracleEvent
from properties import examples

from services.kernel.fold.leaf import LeafState, ProfileView, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.rules.evaluate import PredicateResult, compile_rule, evaluate_predicate
from services.kernel.rules.features import (
    Aggregate,
    DateDistance,
    DateMeasure,
    Elapsed,
    Function,
    OrderDefinition,
    OrderMeasure,
    Orders,
    TopValues,
    Trait,
)
from services.kernel.rules.filters import EventFilter
from services.kernel.rules.ids import predicate_id, predicates
from services.kernel.rules.model import All, Any_, Not, Predicate, Reference, ReferenceKind, Rule
from services.kernel.rules.values import Operator
from services.kernel.rules.windows import Anchor, Relative, Rolling
from services.kernel.trust import Party

DAY = 86_400_000_000
BOUGHT = EventFilter.of("bought")
#: The cases of each class of features.
CASES = examples(300).max_examples


def profile(log: list[OracleEvent], rule: Rule) -> ProfileView:
    state, index = LeafState(), PredicateIndex.from_rules([rule])
    for event in log:
        fold_event(state, some.view_of(event), index)
    return view_of([state])


def bought(*instants: int) -> list[OracleEvent]:
    return [
        OracleEvent("track", "bought", time, i.to_bytes(16, "big"), {"n": time})
        for i, time in enumerate(instants)
    ]


def result_of(predicate: Predicate, log: list[OracleEvent], as_of_us: int) -> PredicateResult:
    return evaluate_predicate(predicate, profile(log, predicate), as_of_us)


def count_of(operator: Operator, limit: int, span_us: int) -> Predicate:
    return Predicate(Aggregate(Function.COUNT, BOUGHT, "", Rolling(span_us)), operator, limit)


@pytest.mark.parametrize("kind", FEATURES)
def test_random_predicate_of_a_feature_evaluates_as_the_oracle_does(kind: str) -> None:
    """Values, results and the instants of their next change, after merges and unmerges."""
    assert not first_disagreement(make_case(seed, kind) for seed in range(CASES))


@pytest.mark.parametrize("kind", FEATURES)
def test_random_predicates_of_a_feature_are_true_and_false_and_change_with_time(kind: str) -> None:
    results = Counter[str]()
    for case in (make_case(seed, kind) for seed in range(200)):
        result = result_of(case.predicate, case.log, some.newest(case.log))
        results["true" if result.holds else "false"] += 1
        results["value"] += bool(result.actual)
        results["due"] += result.next_due_us is not None
    assert min(results["true"], results["false"]) >= 40
    assert kind == "Related" or results["value"] >= 15
    assert kind in ("Trait", "Related") or results["due"] >= 10


@examples(150)
@given(some.rules, some.logs(), st.integers(0, 40 * DAY))
def test_rule_evaluates_as_the_oracle_does(rule: Rule, log: list[OracleEvent], later: int) -> None:
    view, as_of_us = profile(log, rule), some.newest(log) + later
    true_predicates = {
        predicate_id(predicate)
        for predicate in predicates(rule)
        if evaluate_predicate(predicate, view, as_of_us).holds
    }
    assert compile_rule(rule)(true_predicates) == oracle.rule_holds(rule, log, as_of_us)


@examples(150)
@given(some.predicates, some.logs(), st.integers(0, 40 * DAY))
def test_instant_before_the_newest_event_counts_as_that_of_the_event(
    predicate: Predicate, log: list[OracleEvent], before: int
) -> None:
    events = [one for one in log if one.type not in ("correction", "score")]
    newest = some.newest(events)
    at_us = newest - before if events else newest
    assert result_of(predicate, log, at_us) == result_of(predicate, log, newest)


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
    predicate = count_of(operator, limit, 7 * DAY)
    assert result_of(predicate, bought(30, 10, 20), DAY) == (holds, 3, due_us)


def test_count_that_expiries_skip_is_never_due() -> None:
    assert result_of(count_of(Operator.EQ, 1, DAY), bought(5, 5), 6) == (False, 2, None)


def test_window_excludes_its_start_and_includes_its_end() -> None:
    predicate = count_of(Operator.GE, 1, DAY)
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
    predicate = Predicate(Elapsed(BOUGHT), operator, DAY)
    log = bought(1, 5)
    assert result_of(predicate, log, 5 + DAY - 1) == (just_before, DAY - 1, due_us)
    assert result_of(predicate, log, 5 + DAY).holds is at
    assert result_of(predicate, log, 5 + DAY + 1) == (just_after, DAY + 1, None)


def test_profile_without_matching_events_has_no_age() -> None:
    for operator in (Operator.LT, Operator.LE, Operator.GT, Operator.GE):
        predicate = Predicate(Elapsed(BOUGHT), operator, DAY)
        assert result_of(predicate, [], DAY) == (False, None, None)


def test_distinct_value_counts_while_its_newest_event_is_in_the_window() -> None:
    feature = Aggregate(Function.DISTINCT, BOUGHT, "n", Rolling(DAY))
    log = [*bought(1, 2), OracleEvent("track", "bought", 9, b"x" * 16, {"n": 1})]
    assert result_of(Predicate(feature, Operator.GE, 2), log, 10) == (True, 2, 2 + DAY)


def test_equally_frequent_values_of_one_instant_are_ordered_by_canonical_json() -> None:
    log = [
        OracleEvent("track", "bought", 5, bytes([i]) * 16, {"n": n}) for i, n in enumerate((1, "1"))
    ]
    predicate = Predicate(TopValues(BOUGHT, "n", 1), Operator.EXISTS)
    assert result_of(predicate, log, 5).actual == ["1"]


def payment(at_us: int, order: str, amount: float) -> OracleEvent:
    id_ = f"{order}{amount:15}"[:16].encode()
    return OracleEvent("track", "bought", at_us, id_, {"id": order, "amount": amount})


def test_greatest_of_several_payments_of_one_instant_counts() -> None:
    feature = Orders(OrderDefinition(BOUGHT, "id", "amount"), OrderMeasure.NET_SPEND)
    log = [payment(5, "a", 9.5), payment(5, "a", 1200.5)]
    assert result_of(Predicate(feature, Operator.GE, 1), log, 5).actual == 1200.5


def test_days_since_the_last_order_are_due_by_the_orders_of_the_window() -> None:
    before_last = Relative(BOUGHT, Anchor.LAST, after=False)
    definition = OrderDefinition(BOUGHT, "id", "amount")
    feature = Orders(definition, OrderMeasure.DAYS_SINCE_LAST, (), before_last)
    log = [payment(5, "a", 1), payment(9, "b", 1)]
    result = result_of(Predicate(feature, Operator.LT, 2), log, 9)
    assert (result.holds, result.next_due_us) == (True, 5 + 2 * DAY)


def test_time_without_a_zone_is_a_local_one() -> None:
    feature = DateDistance("born", DateMeasure.DAYS_UNTIL, "America/New_York")
    born = {"born": "1970-01-03T01:00:00"}
    log = [OracleEvent("identify", "", DAY, b"i" * 16, {}, born, party=Party.FIRST)]
    assert result_of(Predicate(feature, Operator.EXISTS), log, DAY).actual == 2


def test_empty_all_is_true_and_empty_any_is_false() -> None:
    assert compile_rule(All(()))(set())
    assert not compile_rule(Any_(()))(set())
    assert not compile_rule(Not(All(())))(set())


def test_rule_is_evaluated_from_the_true_predicates() -> None:
    a, b = Predicate(Trait("city"), Operator.EXISTS), Predicate(Trait("age"), Operator.GE, 18)
    rule = All((a, Not(b)))
    test = compile_rule(rule)
    assert test(frozenset({predicate_id(a)}))
    assert not test(frozenset({predicate_id(a), predicate_id(b)}))


def test_rule_with_a_reference_is_not_compiled() -> None:
    with pytest.raises(TypeError, match="reference is replaced"):
        compile_rule(Not(Reference(ReferenceKind.SEGMENT, "vip")))
