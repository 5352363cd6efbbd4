"""Rules over the members of lists of objects, such as the products of an order."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.kernel.fold.events import IDENTIFY, TRACK, EventView
from services.kernel.fold.leaf import LeafState, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.rules.evaluate import evaluate_predicate
from services.kernel.rules.filters import property_getter
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.model import Predicate, Rule

ORDER = {"products": [{"sku": "A", "price": 5}, {"sku": "B", "price": 20, "tags": ["new", "red"]}]}


def bought(comparison: Any, path: str = "products.sku") -> Rule:
    return parse_rule({"count": {"event": "order", "where": {path: comparison}, "at_least": 1}})


def holds(rule: Rule, properties: Any) -> bool:
    assert isinstance(rule, Predicate)
    state = LeafState()
    encoded = msgspec.json.encode(properties)
    event = EventView(TRACK, "order", 1, bytes(16), encoded, b"")
    fold_event(state, event, PredicateIndex([rule]))
    return evaluate_predicate(rule, view_of([state]), 9).holds


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        ("A", True),
        ("B", True),
        ("C", False),
        ({"contains": "A"}, True),
        ({"contains": "AB"}, False),
        (["C", "B"], True),
        (["C", "D"], False),
        ({"ne": "C"}, True),
        ({"ne": "A"}, False),
        ({"exists": True}, True),
        ({"gt": "A"}, True),
        ({"gt": "B"}, False),
        (5, False),
    ],
)
def test_comparison_with_a_list_of_objects_is_true_if_it_is_true_of_one(
    comparison: Any, expected: bool
) -> None:
    assert holds(bought(comparison), ORDER) is expected


@pytest.mark.parametrize(
    ("path", "comparison", "expected"),
    [
        ("products.price", {"at_least": 20}, True),
        ("products.price", {"gt": 20}, False),
        ("products.tags", "red", True),
        ("products.tags", {"contains": "re"}, False),
        ("products.size", {"exists": True}, False),
        ("products.size", {"ne": "L"}, True),
        ("products.0.sku", "A", False),
    ],
)
def test_path_through_a_list_reads_the_members_of_its_elements(
    path: str, comparison: Any, expected: bool
) -> None:
    assert holds(bought(comparison, path), ORDER) is expected


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"products": [{"sku": "AB"}]}, False),
        ({"products": [{"sku": 1}, {"sku": None}, {}, "A", ["A"], None]}, False),
        ({"products": [None, {"sku": "A"}]}, True),
        ({"products": []}, False),
        ({"products": {"sku": "A"}}, True),
        ({"products.sku": "A", "products": []}, True),
        ({"products": "A"}, False),
    ],
)
def test_list_of_any_elements_is_read_without_an_error(properties: Any, expected: bool) -> None:
    assert holds(bought("A"), properties) is expected


def test_lists_inside_of_lists_are_read_to_the_end_of_the_path() -> None:
    rows = {"carts": [{"rows": [{"sku": "A"}]}, {"rows": [{"sku": "B"}, {"sku": "C"}]}, {}]}
    assert property_getter("carts.rows.sku")(rows) == ["A", "B", "C"]


def test_trait_that_is_a_list_of_objects_is_read_by_its_path() -> None:
    rule = parse_rule({"trait": {"name": "pets.kind", "eq": "cat"}})
    assert isinstance(rule, Predicate)
    for kinds, expected in (["dog", "cat"], True), (["dog"], False):
        state = LeafState()
        traits = msgspec.json.encode({"pets": [{"kind": kind} for kind in kinds]})
        event = EventView(IDENTIFY, "", 1, bytes(16), b"", traits)
        fold_event(state, event, PredicateIndex([rule]))
        assert evaluate_predicate(rule, view_of([state]), 9).holds is expected


def test_list_of_objects_is_walked_once_for_all_predicates() -> None:
    """Else many rules over one long list would cost their number times its length."""

    properties = {"products": [{"sku": str(n)} for n in range(500)]}
    paths = ("products.sku", "products.sku", "products.price")
    first, second, other = (property_getter(path)(properties) for path in paths)
    assert first is second
    assert other is None
