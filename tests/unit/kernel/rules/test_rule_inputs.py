"""Tests what is known of a feature without its data: whether time alone may change it."""

from __future__ import annotations

from random import Random

import pytest
from oracle.differential import folded, make_case
from oracle.random_logs import newest
from oracle.random_rules import FEATURES

from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.rules.evaluate import compile_predicate
from services.kernel.rules.inputs import changes_with_time
from services.kernel.rules.values import Operator
from services.kernel.time import DAY_US
from tests.rule_builders import count_of, events_named, last_seen_of, trait_is

CASES = 150


@pytest.mark.parametrize("kind", FEATURES)
def test_predicate_with_a_due_is_one_that_time_may_change_for_the_profile(kind: str) -> None:
    dues = 0
    for seed in range(CASES):
        case = make_case(seed, kind)
        index = PredicateIndex([case.predicate])
        compiled = compile_predicate(case.predicate)
        for events, view in folded(case, Random(seed)):
            due_us = compiled.evaluate(view, newest(events)).next_due_us
            if due_us is not None:
                dues += 1
                assert changes_with_time(case.predicate.feature), case
                assert compiled.id in index.affected_by_time(view.accumulator_ids), case
    assert (dues > 0) is (kind not in ("Trait", "Related"))


def test_time_affects_only_what_a_profile_has_events_for() -> None:
    viewed, bought = events_named("viewed"), events_named("bought")
    ever = count_of(viewed, 0, Operator.GE, 1)
    recent, silent = (
        count_of(viewed, DAY_US, Operator.GE, 1),
        last_seen_of(bought, Operator.GT, DAY_US),
    )
    index = PredicateIndex([ever, recent, silent, trait_is("city", Operator.EXISTS)])
    of_viewed = compile_predicate(recent).accumulator_ids
    assert index.affected_by_time(of_viewed) == {compile_predicate(recent).id}
    assert index.affected_by_time(index.accumulator_ids) == {
        compile_predicate(recent).id,
        compile_predicate(silent).id,
    }
    assert index.affected_by_time(()) == frozenset()
