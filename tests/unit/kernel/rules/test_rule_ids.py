"""Tests that ids never change: the next release must find the data stored under them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import rules_strategies as some
from properties import examples

from services.kernel.rules.features import Trait
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.ids import (
    accumulator_id,
    from_bigint,
    pack_ids,
    predicate_id,
    predicates,
    to_bigint,
    unpack_ids,
)
from services.kernel.rules.inputs import AccumulatorKind, AccumulatorSpec, accumulators_of
from services.kernel.rules.model import Predicate

GOLDEN = [
    (
        {"count": {"event": "attended_trial_lesson", "within": "7d", "at_least": 1}},
        7349646427160915687,
        9049248329040235916,
    ),
    (
        {"count": {"event": "purchased_course", "at_least": 1}},
        4391350613026412490,
        11957882723362575414,
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
        8224347784894588759,
        3827655258703570738,
    ),
    (
        {"last_seen": {"event": "Order Completed", "longer_than": "90d"}},
        2985844447345603564,
        8705496501008435921,
    ),
    ({"trait": {"name": "city", "eq": "北京市"}}, 6458085976664989920, None),
]


def only(form: object) -> Predicate:
    (predicate,) = predicates(parse_rule(form))
    return predicate


def accumulator_of(predicate: Predicate) -> AccumulatorSpec | None:
    """Return the only accumulator of a predicate; None if it has none."""
    specs = accumulators_of(predicate.feature)
    assert len(specs) <= 1
    return specs[0] if specs else None


@pytest.mark.parametrize(("form", "id_", "spec_id"), GOLDEN)
def test_predicate_has_its_golden_ids(form: object, id_: int, spec_id: int | None) -> None:
    predicate = only(form)
    spec = accumulator_of(predicate)
    assert predicate_id(predicate) == id_
    assert (None if spec is None else accumulator_id(spec)) == spec_id


@examples(100)
@given(some.predicates, some.predicates)
def test_different_predicates_have_different_ids(a: Predicate, b: Predicate) -> None:
    assert (predicate_id(a) == predicate_id(b)) is (a == b)
    assert 0 <= predicate_id(a) < 2**64


def test_predicates_that_differ_in_window_and_number_share_an_accumulator() -> None:
    forms = [
        {"count": {"event": "a", "where": {"x": 1}, "within": "7d", "at_least": 1}},
        {"count": {"event": "a", "where": {"x": 1.0}, "lt": 9}},
        {"last_seen": {"event": "a", "where": {"x": 1}, "within": "30d"}},
    ]
    assert len({accumulator_of(only(form)) for form in forms}) == 1
    assert len({predicate_id(only(form)) for form in forms}) == 3


def test_kind_filter_and_property_each_need_another_accumulator() -> None:
    forms = [
        {"count": {"event": "a", "eq": 1}},
        {"count": {"event": "a", "where": {"x": 1}, "eq": 1}},
        {"count": {"event": "a", "where": {"x": True}, "eq": 1}},
        {"distinct": {"event": "a", "property": "x", "eq": 1}},
        {"distinct": {"event": "a", "property": "y", "eq": 1}},
    ]
    specs = [accumulator_of(only(form)) for form in forms]
    assert len({accumulator_id(spec) for spec in specs if spec}) == len(forms)


def test_accumulator_spec_has_kind_events_and_property() -> None:
    predicate = only({"distinct": {"event": "a", "property": "x", "within": "7d", "eq": 1}})
    spec = accumulator_of(predicate)
    assert isinstance(spec, AccumulatorSpec)
    assert (spec.kind, spec.events.names, spec.property) == (AccumulatorKind.DISTINCT, ("a",), "x")
    assert accumulator_of(only({"trait": {"name": "a", "exists": True}})) is None


def test_predicates_are_in_the_order_of_the_rule_and_unique() -> None:
    a, b = {"trait": {"name": "a", "eq": 1}}, {"trait": {"name": "b", "eq": 1}}
    rule = parse_rule({"all": [b, {"any": [a, {"not": b}]}, {"not": {"not": a}}]})
    assert [p.feature for p in predicates(rule)] == [Trait("b"), Trait("a")]


ids = st.integers(0, 2**64 - 1)


@given(st.frozensets(ids, max_size=9))
def test_packed_ids_are_ascending_and_unpack_to_the_same_set(numbers: frozenset[int]) -> None:
    packed = pack_ids(numbers)
    assert unpack_ids(packed) == numbers
    assert [packed[i : i + 8] for i in range(0, len(packed), 8)] == [
        number.to_bytes(8, "big") for number in sorted(numbers)
    ]


@given(ids)
def test_bigint_of_an_id_fits_postgresql_and_converts_back(id_: int) -> None:
    assert -(2**63) <= to_bigint(id_) < 2**63
    assert from_bigint(to_bigint(id_)) == id_
