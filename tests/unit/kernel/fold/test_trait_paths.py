"""Rules over members of traits, and over traits that are absent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.kernel.fold.events import IDENTIFY, EventView
from services.kernel.fold.leaf import LeafState, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.rules.evaluate import evaluate_predicate
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.ids import predicate_id
from services.kernel.rules.model import Predicate
from services.kernel.rules.values import Operator
from tests.rule_builders import trait_is

LOCAL = trait_is("address.city", Operator.EQ, "北京")


def stated(*traits: dict[str, Any]) -> LeafState:
    state = LeafState()
    for at, each in enumerate(traits):
        event = EventView(IDENTIFY, "", at, bytes(16), b"", msgspec.json.encode(each))
        fold_event(state, event, PredicateIndex([LOCAL]))
    return state


@pytest.mark.parametrize(
    ("traits", "holds"),
    [
        ([{"address": {"city": "北京"}}], True),
        ([{"address": {"city": "上海"}}], False),
        ([{"address": {"city": "上海"}}, {"address": {"city": "北京"}}], True),
        ([{"address.city": "北京"}, {"address": {"city": "上海"}}], True),
        ([{"address": "北京"}], False),
        ([{"city": "北京"}], False),
        ([{"address": None}], False),
        ([], False),
    ],
)
def test_path_reads_the_member_of_a_trait(traits: list[dict[str, Any]], holds: bool) -> None:
    assert evaluate_predicate(LOCAL, view_of([stated(*traits)]), 9).holds is holds


def test_member_of_a_trait_affects_the_predicates_over_its_path() -> None:
    traits = msgspec.json.encode({"address": {"city": "北京"}})
    event = EventView(IDENTIFY, "", 1, bytes(16), b"", traits)
    affected = fold_event(LeafState(), event, PredicateIndex([LOCAL]))
    assert affected == {predicate_id(LOCAL)}


@pytest.mark.parametrize(
    ("rule", "holds"), [({"ne": True}, True), ({"eq": False}, False), ({"in": [False]}, False)]
)
def test_absent_trait_is_unequal_to_every_value(rule: dict[str, Any], holds: bool) -> None:
    predicate = parse_rule({"trait": {"name": "vip", **rule}})
    assert isinstance(predicate, Predicate)
    assert evaluate_predicate(predicate, view_of([stated({"age": 3})]), 9).holds is holds
