"""Tests that rules are parsed, dumped in one form, and rejected if their form is wrong."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from oracle import rules_strategies as some
from properties import examples

from services.cli.output import format_yaml
from services.kernel.errors import InvalidField, RuleError
from services.kernel.rules.json_form import dump_rule, parse_rule
from services.kernel.rules.limits import MAX_DEPTH, MAX_RULES
from services.kernel.rules.model import (
    All,
    Any_,
    CountPredicate,
    DistinctPredicate,
    EventFilter,
    LastSeenPredicate,
    Not,
    PropertyFilter,
    Rule,
    TraitPredicate,
)
from services.kernel.rules.values import Operator, canonical_json
from services.kernel.yaml_documents import parse_yaml

DAY = 86_400_000_000

EAGER = """
all:
  - count: {event: attended_trial_lesson, within: 7d, at_least: 1}
  - distinct:
      event: viewed_course_page
      property: course_id
      where: {paid: true, level: [b, a], price: {at_least: 3, lt: 9.5}}
      within: 7d
      at_least: 3
  - not: {count: {event: purchased_course, at_least: 1}}
  - any:
      - trait: {name: city, eq: 北京市}
      - last_seen: {event: consulted_support, within: 30d}
"""


def read(text: str) -> Rule:
    return parse_rule(parse_yaml(text.encode()))


def json_of(rule: Rule) -> str:
    return canonical_json(dump_rule(rule))


def rejection(form: Any) -> RuleError:
    with pytest.raises(RuleError) as caught:
        parse_rule(form)
    return caught.value


def test_yaml_rule_parses_to_its_tree() -> None:
    where = (
        PropertyFilter("level", Operator.IN, ("a", "b")),
        PropertyFilter("paid", Operator.EQ, True),
        PropertyFilter("price", Operator.GE, 3),
        PropertyFilter("price", Operator.LT, 9.5),
    )
    viewed = EventFilter("viewed_course_page", where)
    assert read(EAGER) == All(
        (
            CountPredicate(EventFilter("attended_trial_lesson"), 7 * DAY, Operator.GE, 1),
            DistinctPredicate(viewed, "course_id", 7 * DAY, Operator.GE, 3),
            Not(CountPredicate(EventFilter("purchased_course"), 0, Operator.GE, 1)),
            Any_(
                (
                    TraitPredicate("city", Operator.EQ, "北京市"),
                    LastSeenPredicate(EventFilter("consulted_support"), Operator.LT, 30 * DAY),
                )
            ),
        )
    )


@examples(150)
@given(some.rules)
def test_dumped_rule_parses_to_an_equal_rule(rule: Rule) -> None:
    assert parse_rule(dump_rule(rule)) == rule
    assert parse_rule(msgspec.json.decode(json_of(rule))) == rule
    assert parse_rule(parse_yaml(format_yaml(dump_rule(rule)).encode())) == rule
    assert json_of(parse_rule(msgspec.json.decode(json_of(rule)))) == json_of(rule)


@examples(150)
@given(some.rules, some.rules)
def test_rules_are_equal_exactly_if_their_json_is(a: Rule, b: Rule) -> None:
    assert (a == b) is (json_of(a) == json_of(b))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{count: {event: a, within: 7d, eq: 1}}", "{count: {eq: 1, within: 168h, event: a}}"),
        (
            "{count: {event: a, where: {x: 1, y: {eq: 2}}, eq: 1}}",
            "{count: {event: a, where: [{y: 2.0}, {x: 1.0}, {x: 1}], eq: 1}}",
        ),
        ("{trait: {name: a, in: [b, a, a]}}", "{trait: {name: a, in: [a, b]}}"),
        (
            "{count: {event: a, where: {x: [1, 2]}, eq: 1}}",
            "{count: {event: a, where: {x: {in: [2, 1]}}, eq: 1}}",
        ),
    ],
)
def test_two_spellings_of_a_rule_are_equal(one: str, other: str) -> None:
    assert read(one) == read(other)
    assert json_of(read(one)) == json_of(read(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{trait: {name: a, eq: 1}}", "{trait: {name: a, eq: true}}"),
        ("{trait: {name: a, eq: 1}}", "{trait: {name: a, eq: '1'}}"),
        ("{trait: {name: a, in: [1]}}", "{trait: {name: a, in: [true]}}"),
        ("{all: [{all: []}]}", "{all: []}"),
    ],
)
def test_different_rules_are_unequal(one: str, other: str) -> None:
    assert read(one) != read(other)
    assert json_of(read(one)) != json_of(read(other))


def test_property_compared_twice_with_one_operator_has_both_filters() -> None:
    where = "[{x: {ne: 1}}, {x: {ne: 2}}]"
    rule = read(f"{{count: {{event: a, where: {where}, eq: 1}}}}")
    assert dump_rule(rule)["count"]["where"] == parse_yaml(where.encode())
    assert parse_rule(dump_rule(rule)) == rule


@pytest.mark.parametrize(
    ("span", "us"),
    [("30s", 30_000_000), ("15m", DAY // 96), ("2h", DAY // 12), ("4w", 28 * DAY), ("5us", 5)],
)
def test_span_is_parsed_to_microseconds(span: str, us: int) -> None:
    rule = read(f"{{count: {{event: a, within: {span}, eq: 1}}}}")
    assert rule == CountPredicate(EventFilter("a"), us, Operator.EQ, 1)


@pytest.mark.parametrize(
    ("word", "operator"),
    [
        ("within", Operator.LT),
        ("at_most", Operator.LE),
        ("longer_than", Operator.GT),
        ("at_least", Operator.GE),
    ],
)
def test_age_word_is_parsed_to_its_operator(word: str, operator: Operator) -> None:
    rule = read(f"{{last_seen: {{event: a, {word}: 90d}}}}")
    assert rule == LastSeenPredicate(EventFilter("a"), operator, 90 * DAY)


REJECTED = [
    ("{}", "", "exactly one of"),
    ("[]", "", "key: value"),
    ("null", "", "key: value"),
    ("{all: [], any: []}", "", "join several with `all`"),
    ("{some: []}", "some", "write one of all, any"),
    ("{al: []}", "al", "write `all`"),
    ("{and: []}", "and", "write `all`"),
    ("{all: {trait: {name: a, eq: 1}}}", "all", "in brackets"),
    ("{all: [{not: []}]}", "all[0].not", "key: value"),
    (
        "{all: [{all: []}, {distinct: {event: a, prperty: x, eq: 3}}]}",
        "all[1].distinct.prperty",
        "write `property`",
    ),
    ("{distinct: {event: a, eq: 3}}", "distinct", "write `property: ...`"),
    ("{distinct: {event: a, property: 1, eq: 3}}", "distinct.property", "quotes"),
    ("{count: {eq: 1}}", "count", "write `event: ...`"),
    ("{count: {event: '', eq: 1}}", "count.event", "1 to 512"),
    ("{count: {event: a}}", "count", "exactly one of eq, ne"),
    ("{count: {event: a, eq: 1, gt: 2}}", "count", "exactly one of"),
    ("{count: {event: a, gte: 1}}", "count.gte", "write `at_least`"),
    ("{count: {event: a, contains: 1}}", "count", "at_least"),
    ("{count: {event: a, eq: -1}}", "count.eq", "whole number"),
    ("{count: {event: a, eq: 1.5}}", "count.eq", "whole number"),
    ("{count: {event: a, eq: true}}", "count.eq", "whole number"),
    ("{count: {event: a, eq: '1'}}", "count.eq", "whole number"),
    ("{count: {event: a, within: 7, eq: 1}}", "count.within", "7d"),
    ("{count: {event: a, within: 7 days, eq: 1}}", "count.within", "7d"),
    ("{count: {event: a, within: 0d, eq: 1}}", "count.within", "7d"),
    ("{count: {event: a, within: -7d, eq: 1}}", "count.within", "7d"),
    ("{count: {event: a, within: 9999999999999999999w, eq: 1}}", "count.within", "7d"),
    ("{count: {event: a, within: ٣d, eq: 1}}", "count.within", "7d"),
    ("{count: {event: a, where: 3, eq: 1}}", "count.where", "key: value"),
    ("{count: {event: a, where: {1: a}, eq: 1}}", "count.where", "quotes"),
    ("{count: {event: a, where: {x: null}, eq: 1}}", "count.where.x", "exists: true"),
    ("{count: {event: a, where: {x: {}}, eq: 1}}", "count.where.x", "one of eq"),
    ("{count: {event: a, where: {x: {like: 1}}, eq: 1}}", "count.where.x.like", "one of eq"),
    ("{count: {event: a, where: {x: []}, eq: 1}}", "count.where.x", "1 to 1000"),
    ("{count: {event: a, where: {x: {in: 1}}, eq: 1}}", "count.where.x.in", "in brackets"),
    ("{count: {event: a, where: {x: {lt: true}}, eq: 1}}", "count.where.x.lt", "eq: true"),
    ("{count: {event: a, where: [{x: 1}, 3], eq: 1}}", "count.where[1]", "key: value"),
    ("{count: {event: a, where: {x: {exists: false}}, eq: 1}}", "count.where.x.exists", "`not`"),
    ("{trait: {eq: 1}}", "trait", "write `name: ...`"),
    ("{trait: {name: a, within: 7d, eq: 1}}", "trait.within", "write"),
    ("{trait: {name: a, eq: [1]}}", "trait.eq", "in: [...]"),
    ("{trait: {name: a, eq: {b: 1}}}", "trait.eq", "`a.b`"),
    ("{trait: {name: a, eq: .nan}}", "trait.eq", "1.7e308"),
    ("{trait: {name: a, eq: 2026-01-01}}", "trait.eq", "quotes"),
    ("{last_seen: {event: a, eq: 7d}}", "last_seen.eq", "write"),
    ("{last_seen: {event: a, within: 0s}}", "last_seen.within", "7d"),
]


@pytest.mark.parametrize(("text", "field", "remedy"), REJECTED)
def test_wrong_form_raises_with_its_path_and_remedy(text: str, field: str, remedy: str) -> None:
    error = rejection(yaml.safe_load(text))
    assert error.field == field
    assert remedy in error.remedy
    assert error.message.startswith(f"{field}: " if field else error.problem)
    assert isinstance(error, InvalidField)


def test_rule_beyond_the_size_limits_raises() -> None:
    deep: Any = {"all": []}
    for _ in range(MAX_DEPTH):
        deep = {"not": deep}
    assert "deep" in rejection(deep).remedy
    assert "at most" in rejection({"all": [{"all": []}] * MAX_RULES}).remedy
    assert "characters" in rejection({"trait": {"name": "a" * 600, "eq": 1}}).remedy
    assert "characters" in rejection({"trait": {"name": "a", "eq": "a" * 2000}}).remedy


def test_lone_surrogates_raise() -> None:
    assert rejection({"trait": {"name": "a", "eq": "\ud800"}}).field == "trait.eq"
    assert rejection({"trait": {"name": "\ud800", "eq": 1}}).field == "trait.name"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda parts: (
        st.lists(parts, max_size=3)
        | st.dictionaries(st.sampled_from(("all", "not", "trait", "count", "eq", "x")), parts)
    ),
    max_leaves=10,
)


@examples(200)
@given(json_values)
def test_any_form_is_parsed_or_raises_rule_error(form: Any) -> None:
    rule = None
    with suppress(RuleError):
        rule = parse_rule(form)
    assert rule is None or msgspec.json.decode(json_of(rule)) == dump_rule(rule)
