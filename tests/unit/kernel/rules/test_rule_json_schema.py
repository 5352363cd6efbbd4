"""Tests that the JSON Schema of rules and their parser accept the same forms."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from oracle import rules_text_strategies as some
from properties import examples

from services.kernel.errors import RuleError
from services.kernel.rules.forms import words
from services.kernel.rules.forms.json_form import dump_rule, parse_rule
from services.kernel.rules.forms.json_schema import rule_schema
from services.kernel.rules.model import Rule
from services.kernel.yaml_documents import parse_yaml

SCHEMA = Draft202012Validator(rule_schema())
#: The mistakes that only the parser finds.
SEMANTIC = (
    "the time zone is not known",
    "the cleaner `",
    "the number is out of bounds",
    "the workspace does not define orders",
    "the rule is too large",
    "the rule has more than",
    "the texts of the rule are too long",
    "there are too many filters",
)
WORDS = (
    *words.RULES,
    *words.WINDOW_KEYS,
    *("eq", "at_least", "in", "contains", "exists", "missing", "ignore_case", "where", "event"),
    *("property", "name", "ratio", "net_spend", "id", "is", "of", "x"),
)
VALUES: tuple[Any, ...] = (
    *(True, False, None, 0, 1, -1, 1.0, 1.5, 101, 2**63, 2.0**63, 1e300, 10**400, "", "a", "*"),
    *("7d", "0d", "07d", "7", "today", "this week", "this day", "last 0 weeks", "3 to 1 weeks ago"),
    *(
        "UTC",
        "first",
        "last",
        "none",
        "place",
        "place@2",
        "granted",
        "x" * 513,
        "x" * 1001,
        [],
        ["a"],
        [1, "a"],
        [[]],
        [None],
    ),
    *({}, {"a": 1}, {"": 1}, {"x": {"lt": "a"}}, {"x": {"lt": True}}, {"eq": 1}, {"event": "a"}),
    *({"x": {"ignore_case": True}}, {"x": {"eq": "a", "ignore_case": True}}, {"x": {"in": []}}),
    *({"event": "a", "which": "last"}, {"lt": 1, "gt": 2}, {"count": {"event": "a"}}, ["first"]),
    *([{"event": "a"}, {"event": "b"}], [{"event": "a", "within": "1d"}, {"event": "b"}]),
)


def rejection(form: Any) -> RuleError | None:
    try:
        parse_rule(form)
    except RuleError as error:
        return error
    return None


def check_same(form: Any) -> None:
    error = rejection(form)
    if SCHEMA.is_valid(form):
        assert error is None or error.problem.startswith(SEMANTIC), (form, str(error))
    else:
        assert error is not None, (form, list(SCHEMA.iter_errors(form)))


def containers(form: Any) -> Iterator[Any]:
    """Yield all mappings and lists of a form."""
    if isinstance(form, dict | list):
        yield form
        for part in form.values() if isinstance(form, dict) else form:
            yield from containers(part)


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """Draw a valid form with up to three changes of keys or values."""
    form = copy.deepcopy(dump_rule(draw(some.rules)))
    for _ in range(draw(st.integers(1, 3))):
        change(draw, draw(st.sampled_from(list(containers(form)))))
    return form


def change(draw: st.DrawFn, part: Any) -> None:
    value = copy.deepcopy(draw(st.sampled_from(VALUES)))
    if isinstance(part, list):
        if part and draw(st.booleans()):
            part[draw(st.integers(0, len(part) - 1))] = value
        else:
            part.append(value)
        return
    action = draw(st.sampled_from(("remove", "replace", "rename", "add")))
    if not part or action == "add":
        part[draw(st.sampled_from(WORDS))] = value
        return
    key = draw(st.sampled_from(list(part)))
    if action == "replace":
        part[key] = value
        return
    old = part.pop(key)
    if action == "rename":
        part[draw(st.sampled_from(WORDS))] = old


def test_schema_is_valid_itself() -> None:
    Draft202012Validator.check_schema(rule_schema())


@examples(60)
@given(some.rules)
def test_canonical_form_matches_the_schema(rule: Rule) -> None:
    assert not list(SCHEMA.iter_errors(dump_rule(rule)))


@examples(200)
@given(mutated())
def test_mutated_form_is_accepted_by_both_or_by_neither(form: Any) -> None:
    check_same(form)


@pytest.mark.parametrize("kind", words.RULES)
def test_value_of_every_key_is_accepted_by_both_or_by_neither(kind: str) -> None:
    """Puts values below each key of the smallest valid form of a kind."""
    base = parse_yaml(SMALLEST[kind].encode())
    keys = words.KINDS[kind].keys if kind in words.KINDS else ("id", "is", "of", "purpose")
    for value in VALUES:
        check_same({kind: value})
        for key in keys if isinstance(base, dict) else ():
            check_same({kind: base | COMPARED.get(kind, {}) | {key: value}})


@pytest.mark.parametrize("kind", words.KINDS)
def test_every_comparison_is_accepted_by_both_or_by_neither(kind: str) -> None:
    base, measures = parse_yaml(SMALLEST[kind].encode()), words.KINDS[kind].measures
    for key in (*words.VALUE_COMPARISONS, *words.AGE_COMPARISONS):
        for value in (
            VALUES if kind in ("trait", "count", "trend", "top", "last_seen") else (1, "a")
        ):
            test = {key: value}
            check_same({kind: base | ({measures[0]: test} if measures else test)})


SMALLEST = {
    "all": "[]",
    "any": "[]",
    "not": "{all: []}",
    "segment": "{id: a}",
    "tag": "{id: a}",
    "stage": "{of: a, is: b}",
    "consent": "{purpose: a, is: granted}",
    "trait": "{name: a, clean: person_name}",
    "count": "{event: a}",
    **{word: "{event: a, property: b}" for word in words.FUNCTIONS if word != "count"},
    "last_seen": "{event: a}",
    "first_seen": "{event: a}",
    "sequence": "{steps: [{event: a}, {event: b}]}",
    "trend": "{sum: {event: a, property: b, within: 7d}}",
    "date": "{trait: a}",
    "top": "{event: a, property: b, limit: 1}",
    "orders": "{definition: {payments: {event: a, order_id: b, amount: c}}}",
    "related": "{type: a}",
}
COMPARED: dict[str, Any] = {
    "trait": {"eq": "a"},
    **{kind: {"at_least": 1} for kind in (*words.FUNCTIONS, "sequence", "related")},
    **{kind: {"within": "7d"} for kind in words.AGES},
    "trend": {"ratio": {"lt": 1}},
    "date": {"days_until": {"lt": 1}},
    "top": {"contains": "a"},
    "orders": {"count": {"lt": 1}},
}


@pytest.mark.parametrize("key", ["party", "from"])
@pytest.mark.parametrize(
    ("name", "is_stated"),
    [
        *(("first_touch", False), ("last_touch.source", False), ("score.churn", False)),
        *(("score", True), ("first_touches", True), ("a.first_touch", True), ("my_score.x", True)),
    ],
)
def test_party_and_source_of_what_no_source_states_are_refused_by_both(
    key: str, name: str, is_stated: bool
) -> None:
    form = {"trait": {"name": name, key: ["first"], "eq": "a"}}
    assert (rejection(form) is None) is is_stated
    assert SCHEMA.is_valid(form) is is_stated
