"""Tests quantiles of recency, frequency and monetary value, and the rules that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.kernel.calendar import PeriodUnit
from services.kernel.errors import InvalidField
from services.kernel.fold.events import TRACK, EventView
from services.kernel.fold.leaf import LeafState, ProfileView, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.rules.evaluate import compile_rule
from services.kernel.rules.features import OrderDefinition
from services.kernel.rules.filters import EventFilter
from services.kernel.rules.ids import predicate_id, predicates
from services.kernel.rules.model import Rule
from services.kernel.time import DAY_US, HOUR_US
from services.kernel.tokens import Token
from services.profile.domain.rfm import (
    MinimumScores,
    OrderFeatures,
    RfmFit,
    RfmModel,
    band_of,
    check_model,
    classification_of,
    features_of,
    fit,
    quantile_edges,
    scores_of,
)

DEFINITION = OrderDefinition(
    EventFilter.of("paid"), "order", "amount", EventFilter.of("refunded"), "order", "amount"
)
NOW_US = 1_790_000_000_000_000
VALUES = (MinimumScores("best", 4, 4, 4), MinimumScores("good", 1, 3, 3), MinimumScores("buyer"))
MODEL = RfmModel(4, PeriodUnit.MONTH, VALUES)
numbers = st.lists(st.integers(-5, 5) | st.integers(), min_size=1, max_size=40)


@examples(100)
@given(numbers, st.integers(2, 10), st.randoms(use_true_random=False))
def test_edges_are_nearest_ranks_in_any_order_of_the_values(
    values: list[int], quantiles: int, random: Random
) -> None:
    edges = quantile_edges(values, quantiles)
    assert len(edges) == quantiles - 1
    for j, edge in enumerate(edges, 1):
        part = Fraction(j, quantiles)
        assert Fraction(sum(v <= edge for v in values), len(values)) >= part
        assert Fraction(sum(v < edge for v in values), len(values)) < part
    random.shuffle(values)
    assert quantile_edges(values, quantiles) == edges


@examples(100)
@given(numbers, st.integers(2, 10))
def test_bands_ascend_with_the_values_and_equal_values_share_one(
    values: list[int], quantiles: int
) -> None:
    edges = quantile_edges(values, quantiles)
    bands = [band_of(value, edges) for value in sorted(values)]
    assert bands == sorted(bands)
    assert set(bands) <= set(range(1, quantiles + 1))
    if len(set(values)) == len(values) and len(values) % quantiles == 0:
        assert all(bands.count(b) == len(values) // quantiles for b in range(1, quantiles + 1))


def test_value_on_an_edge_is_in_the_band_below_it() -> None:
    assert [band_of(value, (10, 10, 20)) for value in (9, 10, 11, 20, 21)] == [1, 1, 3, 3, 4]


def test_most_recent_order_has_the_highest_score() -> None:
    persons = [OrderFeatures(n * DAY_US, 5 - n, 100 * n) for n in range(1, 5)]
    edges = fit(persons, 4, Token(()), NOW_US)
    assert [scores_of(person, edges) for person in persons] == [
        (4, 4, 1),
        (3, 3, 2),
        (2, 2, 3),
        (1, 1, 4),
    ]


def _person(random: Random) -> ProfileView:
    """Return a person with some orders, or with none."""
    state, index = LeafState(), PredicateIndex(_predicates(classification_rules(MODEL)))
    for number in range(random.choice((0, 1, 1, 2, 3, 6))):
        order = random.randrange(4)
        at_us = NOW_US - random.randrange(60) * DAY_US - random.randrange(3) * HOUR_US
        amount = random.choice((10, 10, 19.99, 0.1, 0, 250))
        name = random.choice(("paid", "paid", "paid", "refunded"))
        body = msgspec.json.encode({"order": order, "amount": amount})
        event = EventView(TRACK, name, at_us, number.to_bytes(16, "big"), body)
        fold_event(state, event, index)
    return view_of([state])


def classification_rules(model: RfmModel) -> dict[str, Rule]:
    own = classification_of(model, DEFINITION, "none")
    return {value: rule for value in own.names if (rule := own.rule_of(value)) is not None}


def _predicates(rules: dict[str, Rule]) -> list:  # type: ignore[type-arg]
    return [p for rule in rules.values() for p in predicates(rule)]


def _values_of(rules: dict[str, Rule], view: ProfileView, at_us: int) -> list[str]:
    index = PredicateIndex(_predicates(rules))
    true = {id_ for id_, p in index.predicates.items() if p.evaluate(view, at_us).holds}
    assert true <= {predicate_id(p) for p in _predicates(rules)}
    return [value for value, rule in rules.items() if compile_rule(rule)(true)]


def _expected(
    features: OrderFeatures | None, edges: RfmFit, values: Sequence[MinimumScores]
) -> str:
    if features is None:
        return "none"
    scores = scores_of(features, edges)
    reached = (v.value for v in values if all(s >= m for s, m in zip(scores, v[1:], strict=True)))
    return next(reached, "none")


@examples(60)
@given(st.randoms(use_true_random=False), st.integers(1, 12))
def test_rules_of_a_fitted_model_give_each_person_the_value_of_the_scores(
    random: Random, size: int
) -> None:
    views = [_person(random) for _ in range(size)]
    features = [features_of(DEFINITION, view, NOW_US) for view in views]
    edges = fit([f for f in features if f is not None], 4, Token(()), NOW_US)
    rules = classification_rules(MODEL.with_fit(edges))
    if edges.persons:
        for view, own in zip(views, features, strict=True):
            for at_us in (NOW_US, NOW_US + 40 * DAY_US):  # time alone changes no value
                assert _values_of(rules, view, at_us) == [_expected(own, edges, VALUES)]
    else:
        assert [_values_of(rules, view, NOW_US) for view in views] == [["none"]] * size


def test_model_without_a_fit_gives_no_value_and_reads_what_it_will_be_fitted_over() -> None:
    rules = classification_rules(MODEL)
    view = _person(Random(3))
    assert _values_of(rules, view, NOW_US) == ["none"]
    fitted = classification_rules(MODEL.with_fit(fit([OrderFeatures(1, 1, 1)], 4, Token(()), 1)))
    needed = PredicateIndex(_predicates(fitted)).accumulator_ids
    assert needed <= PredicateIndex(_predicates(rules)).accumulator_ids


def test_fit_counts_for_the_period_that_it_was_made_in() -> None:
    june = 1_780_300_800_000_000  # 2026-06-01T08:00:00Z
    model = MODEL.with_fit(RfmFit(Token(()), june, 0))
    assert model.is_fitted_in(june + 29 * DAY_US, "Asia/Shanghai")
    assert not model.is_fitted_in(june + 30 * DAY_US, "Asia/Shanghai")
    assert not MODEL.is_fitted_in(june, "UTC")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"quantiles": 1}, "m.quantiles"),
        ({"quantiles": 11}, "m.quantiles"),
        ({"values": ()}, "m.values"),
        ({"values": (MinimumScores("a", 5),)}, "m.values[0].recency"),
        ({"values": (MinimumScores("a", 1, 0),)}, "m.values[0].frequency"),
    ],
)
def test_model_with_impossible_numbers_is_refused_at_its_place(
    changed: dict[str, object], field: str
) -> None:
    from dataclasses import replace

    with pytest.raises(InvalidField) as refused:
        check_model(replace(MODEL, **changed), "m")  # type: ignore[arg-type]
    assert refused.value.field == field
