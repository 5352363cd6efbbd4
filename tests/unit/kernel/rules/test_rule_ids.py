"""Ids never change: what is stored under them must be found by the next release."""

from __future__ import annotations

import pytest
from hypothesis import given
from oracle import rules_strategies as some
from properties import examples

from services.kernel.rules.ids import accumulator_id, accumulator_of, predicate_id, predicates
from services.kernel.rules.json_form import parse_rule
from services.kernel.rules.model import AccumulatorKind, AccumulatorSpec, Predicate

GOLDEN = [
    (
        {"count": {"event": "attended_trial_lesson", "within": "7d", "at_least": 1}},
        7529545011768073161,
        11836830314818560652,
    ),
    (
        {"count": {"event": "purchased_course", "at_least": 1}},
        5425943789806148951,
        17394914282591098561,
    ),
    (
        {
            "distinct": {
                "event": "viewed_course_page",
                "property": "course_id",
                "where": {"paid": True, "price": {"at_least": 3, "lt": 9.5}, "level": ["a", "b"]},
                "within": "90m",
                "at_least": 3,
            }
        },
        10636735805000050713,
        11078982868326608473,
    ),
    (
        {"last_seen": {"event": "Order Completed", "longer_than": "90d"}},
        2414804192748379440,
        7770011479544094595,
    ),
    ({"trait": {"name": "city", "eq": "北京市"}}, 12394613087455309714, None),
]


def only(form: object) -> Predicate:
    (predicate,) = predicates(parse_rule(form))
    return predicate


@pytest.mark.parametrize(("form", "id_", "looked_at"), GOLDEN)
def test_golden_ids(form: object, id_: int, looked_at: int | None) -> None:
    predicate = only(form)
    series = accumulator_of(predicate)
    assert predicate_id(predicate) == id_
    assert (None if series is None else accumulator_id(series)) == looked_at


@examples(100)
@given(some.predicates, some.predicates)
def test_ids_tell_predicates_apart(a: Predicate, b: Predicate) -> None:
    assert (predicate_id(a) == predicate_id(b)) is (a == b)
    assert 0 <= predicate_id(a) < 2**64


def test_windows_and_numbers_share_a_series() -> None:
    asked = [
        {"count": {"event": "a", "where": {"x": 1}, "within": "7d", "at_least": 1}},
        {"count": {"event": "a", "where": {"x": 1.0}, "lt": 9}},
        {"last_seen": {"event": "a", "where": {"x": 1}, "within": "30d"}},
    ]
    assert len({accumulator_of(only(form)) for form in asked}) == 1
    assert len({predicate_id(only(form)) for form in asked}) == 3


def test_kind_filter_and_property_make_another_series() -> None:
    asked = [
        {"count": {"event": "a", "eq": 1}},
        {"count": {"event": "a", "where": {"x": 1}, "eq": 1}},
        {"count": {"event": "a", "where": {"x": True}, "eq": 1}},
        {"distinct": {"event": "a", "property": "x", "eq": 1}},
        {"distinct": {"event": "a", "property": "y", "eq": 1}},
    ]
    all_series = [accumulator_of(only(form)) for form in asked]
    assert len({accumulator_id(series) for series in all_series if series}) == len(asked)


def test_a_series_says_what_it_keeps() -> None:
    predicate = only({"distinct": {"event": "a", "property": "x", "within": "7d", "eq": 1}})
    series = accumulator_of(predicate)
    assert isinstance(series, AccumulatorSpec)
    assert (series.kind, series.events.event, series.property) == (
        AccumulatorKind.DISTINCT,
        "a",
        "x",
    )
    assert accumulator_of(only({"trait": {"name": "a", "exists": True}})) is None


def test_predicates_come_in_the_order_of_the_rule_and_once() -> None:
    a, b = {"trait": {"name": "a", "eq": 1}}, {"trait": {"name": "b", "eq": 1}}
    rule = parse_rule({"all": [b, {"any": [a, {"not": b}]}, {"not": {"not": a}}]})
    assert [p.trait for p in predicates(rule)] == ["b", "a"]  # type: ignore[union-attr]
