"""How rules read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from oracle import rules_strategies as some
from properties import examples

from services.kernel.rules.json_form import parse_rule
from services.kernel.rules.model import Predicate
from services.kernel.rules.text import to_text

A: dict[str, Any] = {"trait": {"name": "a", "eq": 1}}
B: dict[str, Any] = {"trait": {"name": "b", "exists": True}}
TEXTS = [
    (
        {
            "all": [
                {"count": {"event": "attended_trial", "within": "7d", "at_least": 1}},
                {
                    "distinct": {
                        "event": "viewed",
                        "property": "course_id",
                        "where": {"paid": True},
                        "within": "7d",
                        "at_least": 3,
                    }
                },
                {"not": {"count": {"event": "purchased_course", "at_least": 1}}},
            ]
        },
        "count(attended_trial in 7d) >= 1"
        " and distinct(viewed.course_id where paid = true in 7d) >= 3"
        " and not count(purchased_course) >= 1",
    ),
    ({"trait": {"name": "city", "eq": "北京市"}}, 'city = "北京市"'),
    ({"trait": {"name": "城市", "in": ["b", "a"]}}, '城市 in ["a","b"]'),
    ({"trait": {"name": "home city", "contains": "京"}}, '"home city" contains "京"'),
    ({"trait": {"name": "not", "exists": True}}, '"not" exists'),
    ({"last_seen": {"event": "Order Done", "within": "30d"}}, 'last_seen("Order Done") < 30d ago'),
    ({"last_seen": {"event": "a", "longer_than": "90m"}}, "last_seen(a) > 90m ago"),
    (
        {
            "count": {
                "event": "a",
                "where": {"x": {"at_least": 3, "lt": 9}, "y": {"ne": "z"}},
                "eq": 0,
            }
        },
        'count(a where x >= 3 and x < 9 and y != "z") = 0',
    ),
    ({"all": []}, "always"),
    ({"any": []}, "never"),
    ({"not": {"any": []}}, "not never"),
    ({"all": [A, {"any": [A, B]}]}, "a = 1 and (a = 1 or b exists)"),
    ({"any": [{"all": [A, B]}, {"not": {"all": [B]}}]}, "(a = 1 and b exists) or not b exists"),
    ({"not": {"any": [A, {"all": [B]}]}}, "not (a = 1 or b exists)"),
]


@pytest.mark.parametrize(("form", "text"), TEXTS)
def test_rule_renders_as_text(form: Any, text: str) -> None:
    assert to_text(parse_rule(form)) == text


@examples(100)
@given(some.predicates, some.predicates)
def test_texts_of_different_predicates_differ(a: Predicate, b: Predicate) -> None:
    assert (to_text(a) == to_text(b)) is (a == b)
