"""Tests that rules are parsed, dumped in one form, and rejected if their form is wrong."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from oracle import rules_text_strategies as some
from properties import examples

from services.cli.output import format_yaml
from services.kernel.calendar import PeriodUnit
from services.kernel.errors import InvalidField, RuleError
from services.kernel.rules.features import (
    Aggregate,
    DateDistance,
    DateMeasure,
    Elapsed,
    Function,
    OrderDefinition,
    OrderMeasure,
    Orders,
    Related,
    Sequence,
    Step,
    TopValues,
    Trait,
    Trend,
    TrendMeasure,
)
from services.kernel.rules.filters import EventFilter, PropertyFilter
from services.kernel.rules.forms import words
from services.kernel.rules.forms.json_dump import orders_form
from services.kernel.rules.forms.json_form import dump_rule, parse_orders, parse_rule
from services.kernel.rules.limits import MAX_DEPTH, MAX_RULES
from services.kernel.rules.model import All, Any_, Not, Predicate, Reference, ReferenceKind, Rule
from services.kernel.rules.periods import format_periods, parse_periods
from services.kernel.rules.values import Operator, canonical_json
from services.kernel.rules.windows import EVER, Anchor, Calendar, Relative, Rolling, Window
from services.kernel.trust import Party
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


def count(event: str, window: Window = EVER) -> Aggregate:
    return Aggregate(Function.COUNT, EventFilter.of(event), "", window)


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
    viewed, week = EventFilter.of("viewed_course_page", *where), Rolling(7 * DAY)
    distinct = Aggregate(Function.DISTINCT, viewed, "course_id", week)
    consulted = Elapsed(EventFilter.of("consulted_support"))
    assert read(EAGER) == All(
        (
            Predicate(count("attended_trial_lesson", week), Operator.GE, 1),
            Predicate(distinct, Operator.GE, 3),
            Not(Predicate(count("purchased_course"), Operator.GE, 1)),
            Any_(
                (
                    Predicate(Trait("city"), Operator.EQ, "北京市"),
                    Predicate(consulted, Operator.LT, 30 * DAY),
                )
            ),
        )
    )


ORDERS = OrderDefinition(
    EventFilter.of("paid"), "id", "total", EventFilter.of("refunded"), "id", "total", "refund"
)
BOUGHT = EventFilter.of("bought")
A, B, C = (EventFilter.of(name) for name in "abc")
SHANGHAI = "Asia/Shanghai"
FEATURES: list[tuple[str, Rule]] = [
    ("{segment: vip}", Reference(ReferenceKind.SEGMENT, "vip")),
    ("{segment: {id: vip}}", Reference(ReferenceKind.SEGMENT, "vip")),
    ("{tag: rfm}", Reference(ReferenceKind.TAG, "rfm")),
    ("{tag: {id: rfm, is: high}}", Reference(ReferenceKind.TAG, "rfm", "high")),
    ("{stage: {of: lifecycle, is: silent}}", Reference(ReferenceKind.STAGE, "lifecycle", "silent")),
    (
        "{trait: {name: city, party: [second, first], clean: place, eq: 北京市}}",
        Predicate(Trait("city", (Party.FIRST, Party.SECOND), "place"), Operator.EQ, "北京市"),
    ),
    (
        "{trait: {name: city, from: [erp, crm, erp], eq: Bonn}}",
        Predicate(Trait("city", sources=("crm", "erp")), Operator.EQ, "Bonn"),
    ),
    (
        "{trait: {name: city, from: crm, party: first, clean: place, eq: 北京市}}",
        Predicate(Trait("city", (Party.FIRST,), "place", ("crm",)), Operator.EQ, "北京市"),
    ),
    (
        "{trait: {name: city, party: first, starts_with: Bei, ignore_case: true}}",
        Predicate(Trait("city", (Party.FIRST,)), Operator.STARTS_WITH, "bei", True),
    ),
    (
        "{count: {event: [b, a], at_least: 1}}",
        Predicate(Aggregate(Function.COUNT, EventFilter(("a", "b"))), Operator.GE, 1),
    ),
    (
        "{count: {event: '*', at_least: 1}}",
        Predicate(Aggregate(Function.COUNT, EventFilter(("*",))), Operator.GE, 1),
    ),
    (
        "{last: {event: bought, property: color, missing: true}}",
        Predicate(Aggregate(Function.LAST, BOUGHT, "color"), Operator.MISSING),
    ),
    (
        "{consent: {purpose: marketing, is: granted}}",
        Predicate(
            Aggregate(
                Function.LAST,
                EventFilter.of(
                    "consent_changed", PropertyFilter("purpose", Operator.EQ, "marketing")
                ),
                "granted",
            ),
            Operator.EQ,
            True,
        ),
    ),
    ("{first_seen: {event: a, at_least: 1d}}", Predicate(Elapsed(A, True), Operator.GE, DAY)),
    (
        "{sequence: {steps: [{event: a}, {event: b, within: 7d, without: {event: c}}],"
        " same: course, within: 30d}}",
        Predicate(
            Sequence((Step(A), Step(B, 7 * DAY, C)), "course", Rolling(30 * DAY)), Operator.GE, 1
        ),
    ),
    (
        "{trend: {sum: {event: a, property: amount, within: 14d}, ratio: {lt: 0.5}}}",
        Predicate(
            Trend(Aggregate(Function.SUM, A, "amount", Rolling(14 * DAY)), TrendMeasure.RATIO),
            Operator.LT,
            0.5,
        ),
    ),
    (
        "{date: {trait: birthday, days_until_anniversary: {at_most: 3}}}",
        Predicate(
            DateDistance("birthday", DateMeasure.DAYS_UNTIL_ANNIVERSARY, SHANGHAI), Operator.LE, 3
        ),
    ),
    (
        "{top: {event: bought, property: brand, limit: 3, contains: x}}",
        Predicate(TopValues(BOUGHT, "brand", 3), Operator.CONTAINS, "x"),
    ),
    (
        "{orders: {net_spend: {gt: 1000}, where: {shop: a}, during: last 12 months}}",
        Predicate(
            Orders(
                ORDERS,
                OrderMeasure.NET_SPEND,
                (PropertyFilter("shop", Operator.EQ, "a"),),
                Calendar(PeriodUnit.MONTH, 12, 1, SHANGHAI),
            ),
            Operator.GT,
            1000,
        ),
    ),
    (
        "{related: {type: course, where: {level: a}, at_least: 2}}",
        Predicate(Related("course", (PropertyFilter("level", Operator.EQ, "a"),)), Operator.GE, 2),
    ),
    (
        "{count: {event: a, before: {event: bought, which: first, within: 7d}, at_least: 1}}",
        Predicate(count("a", Relative(BOUGHT, Anchor.FIRST, False, 7 * DAY)), Operator.GE, 1),
    ),
    (
        "{count: {event: a, after: {event: bought, which: last}, at_least: 1}}",
        Predicate(count("a", Relative(BOUGHT, Anchor.LAST, True)), Operator.GE, 1),
    ),
]


@pytest.mark.parametrize(("text", "rule"), FEATURES)
def test_form_of_every_feature_parses_to_its_rule(text: str, rule: Rule) -> None:
    assert parse_rule(parse_yaml(text.encode()), zone=SHANGHAI, orders=ORDERS) == rule
    assert parse_rule(dump_rule(rule), zone="UTC") == rule


def test_definition_of_orders_is_written_with_its_parts() -> None:
    assert orders_form(ORDERS) == {
        "payments": {"event": "paid", "order_id": "id", "amount": "total"},
        "refunds": {
            "event": "refunded",
            "order_id": "id",
            "amount": "total",
            "refund_id": "refund",
        },
        "currency": "CNY",
    }
    assert parse_orders(orders_form(ORDERS)) == ORDERS


@pytest.mark.parametrize(
    ("text", "unit", "oldest", "newest"),
    [
        ("today", "day", 0, 0),
        ("yesterday", "day", 1, 1),
        ("this quarter", "quarter", 0, 0),
        ("last year", "year", 1, 1),
        ("last 3 weeks", "week", 3, 1),
        ("last 3 weeks to date", "week", 3, 0),
        ("last 1 month to date", "month", 1, 0),
        ("2 days ago", "day", 2, 2),
        ("5 to 3 months ago", "month", 5, 3),
    ],
)
def test_calendar_periods_are_parsed_and_written_in_words(
    text: str, unit: str, oldest: int, newest: int
) -> None:
    window = Calendar(PeriodUnit(unit), oldest, newest, "Asia/Tokyo")
    form = {"count": {"event": "a", "during": text, "zone": "Asia/Tokyo", "at_least": 1}}
    assert parse_rule(form) == Predicate(count("a", window), Operator.GE, 1)
    assert dump_rule(parse_rule(form)) == form
    assert format_periods(parse_periods(text)) == text


def test_zone_that_is_omitted_is_that_of_the_workspace() -> None:
    form = {"count": {"event": "a", "during": "today", "at_least": 1}}
    rule = parse_rule(form, zone="Asia/Tokyo")
    assert dump_rule(rule)["count"]["zone"] == "Asia/Tokyo"
    assert dump_rule(rule, zone="UTC")["count"]["zone"] == "Asia/Tokyo"
    assert dump_rule(rule, zone="Asia/Tokyo") == form


@pytest.mark.parametrize(("text", "rule"), FEATURES)
def test_form_without_the_settings_of_the_workspace_is_read_with_them(
    text: str, rule: Rule
) -> None:
    form = dump_rule(rule, zone=SHANGHAI, orders=ORDERS)
    assert SHANGHAI not in canonical_json(form)
    assert "definition" not in canonical_json(form)
    assert parse_rule(form, zone=SHANGHAI, orders=ORDERS) == rule
    other = OrderDefinition(EventFilter.of("sold"), "id", "total")
    assert parse_rule(dump_rule(rule, zone="UTC", orders=other), zone="UTC", orders=other) == rule


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
        ("{count: {event: [b, a, b], eq: 1}}", "{count: {event: [a, b], eq: 1}}"),
        ("{count: {event: [a, '*'], eq: 1}}", "{count: {event: '*', eq: 1}}"),
        ("{trait: {name: a, eq: 1, ignore_case: true}}", "{trait: {name: a, eq: 1}}"),
        (
            "{trait: {name: a, eq: A, ignore_case: true}}",
            "{trait: {name: a, eq: ａ, ignore_case: true}}",
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
        ("{trait: {name: a, eq: a, ignore_case: true}}", "{trait: {name: a, eq: a}}"),
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
    assert rule == Predicate(count("a", Rolling(us)), Operator.EQ, 1)


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
    assert rule == Predicate(Elapsed(A), operator, 90 * DAY)


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
    ("{count: {event: a, contains: 1}}", "count.contains", "at_least"),
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
    (
        "{count: {event: a, where: {x: {exists: false}}, eq: 1}}",
        "count.where.x.exists",
        "missing: true",
    ),
    ("{trait: {eq: 1}}", "trait", "write `name: ...`"),
    ("{trait: {name: a, within: 7d, eq: 1}}", "trait.within", "write"),
    ("{trait: {name: a, eq: [1]}}", "trait.eq", "in: [...]"),
    ("{trait: {name: a, ne: [1]}}", "trait.ne", "not_in: [...]"),
    ("{trait: {name: a, contains: [b]}}", "trait.contains", "`any` with one `contains`"),
    ("{trait: {name: a, not_contains: [b]}}", "trait.not_contains", "`all` with one"),
    ("{trait: {name: a, eq: {b: 1}}}", "trait.eq", "`a.b`"),
    ("{trait: {name: a, eq: .nan}}", "trait.eq", "1.7e308"),
    ("{trait: {name: a, eq: 2026-01-01}}", "trait.eq", "quotes"),
    ("{last_seen: {event: a, eq: 7d}}", "last_seen.eq", "write"),
    ("{last_seen: {event: a, within: 0s}}", "last_seen.within", "7d"),
    ("{segment: ''}", "segment", "1 to 512"),
    ("{segment: {id: a, is: b}}", "segment.is", "write"),
    ("{stage: silent}", "stage", "stage: {of: SET, is: VALUE}"),
    ("{stage: {of: life}}", "stage", "`is: ...`"),
    ("{tag: {is: a}}", "tag", "`id: ...`"),
    ("{trait: {name: a, party: forth, eq: 1}}", "trait.party[0]", "write"),
    ("{trait: {name: a, party: [], eq: 1}}", "trait.party", "first, second"),
    ("{trait: {name: a, clean: place, eq: true}}", "trait.eq", "write"),
    ("{trait: {name: a, eq: b, ignore_case: 1}}", "trait.ignore_case", "ignore_case: true"),
    ("{trait: {name: a, starts_with: 1}}", "trait.starts_with", "quotes"),
    ("{count: {event: [], eq: 1}}", "count.event", "1 to 50"),
    ("{count: {event: [a, 1], eq: 1}}", "count.event[1]", "quotes"),
    ("{count: {event: a, property: b, eq: 1}}", "count.property", "write"),
    ("{avg: {event: a, property: b, eq: 1}}", "avg", "`average`"),
    ("{sum: {event: a, property: b, eq: x}}", "sum.eq", "such as 3"),
    ("{sum: {event: a, property: b, starts_with: x}}", "sum.starts_with", "at_least"),
    (
        "{count: {event: a, within: 7d, during: today, eq: 1}}",
        "count",
        "exactly one of within, during",
    ),
    ("{count: {event: a, zone: UTC, eq: 1}}", "count.zone", "`during`"),
    ("{count: {event: a, during: this moon, eq: 1}}", "count.during", "this month"),
    ("{count: {event: a, during: 3 to 5 weeks ago, eq: 1}}", "count.during", "write"),
    ("{count: {event: a, during: today, zone: Peking, eq: 1}}", "count.zone", "Asia/Shanghai"),
    ("{count: {event: a, timezone: UTC, eq: 1}}", "count.timezone", "`zone`"),
    ("{count: {event: a, before: {event: b}, eq: 1}}", "count.before", "`which: ...`"),
    ("{count: {event: a, before: {event: b, which: frist}, eq: 1}}", "count.before.which", "first"),
    (
        "{count: {event: a, before: {event: b, which: last, within: 1}, eq: 1}}",
        "count.before.within",
        "7d",
    ),
    ("{sequence: {steps: [{event: a}]}}", "sequence.steps", "2 to 10"),
    ("{sequence: {steps: {event: a}}}", "sequence.steps", "brackets"),
    ("{sequence: {steps: [{event: a, within: 1d}, {event: a}]}}", "sequence.steps[0]", "later"),
    (
        "{sequence: {steps: [{event: a}, {event: a, withn: 1d}]}}",
        "sequence.steps[1].withn",
        "`within`",
    ),
    (
        "{sequence: {steps: [{event: a}, {event: a, without: {evnt: a}}]}}",
        "sequence.steps[1].without.evnt",
        "`event`",
    ),
    ("{trend: {ratio: {lt: 1}}}", "trend", "count, sum"),
    ("{trend: {count: {event: a, within: 1d}}}", "trend", "ratio, difference"),
    ("{trend: {count: {event: a}, ratio: {lt: 1}}}", "trend.count", "within"),
    ("{trend: {count: {event: a, within: 1d, eq: 1}, ratio: {lt: 1}}}", "trend.count.eq", "write"),
    ("{trend: {last: {event: a}, ratio: {lt: 1}}}", "trend.last", "write"),
    ("{trend: {count: {event: a, within: 1d}, ratio: {lt: x}}}", "trend.ratio.lt", "such as 3"),
    ("{trend: {count: {event: a, within: 1d}, ratio: 1}}", "trend.ratio", "key: value"),
    ("{date: {trait: a, days_until: {contains: 3}}}", "date.days_until.contains", "at_least"),
    ("{date: {trait: a, days_until: {lt: 3}, zone: x}}", "date.zone", "Asia/Shanghai"),
    ("{date: {trait: a, anniversary: {lt: 3}}}", "date.anniversary", "`days_until_anniversary`"),
    ("{date: {trait: a, days_until: {lt: 3}, years_since: {lt: 3}}}", "date", "one of"),
    ("{top: {event: a, property: b, contains: c}}", "top", "`limit: ...`"),
    ("{top: {event: a, property: b, limit: 101, contains: c}}", "top.limit", "1 to 100"),
    ("{top: {event: a, property: b, limit: 1, eq: c}}", "top.eq", "contains"),
    ("{orders: {count: {gt: 1}}}", "orders", "define the orders"),
    ("{orders: {count: {gt: 1}, definition: {}}}", "orders.definition", "`payments: ...`"),
    (
        "{orders: {count: {gt: 1}, definition: {payments: {event: a, order_id: b}}}}",
        "orders.definition.payments",
        "`amount: ...`",
    ),
    (
        "{orders: {count: {gt: 1}, definition: {payments: {event: a, order_id: b, amount: c},"
        " currency: rmb}}}",
        "orders.definition.currency",
        "CNY",
    ),
    (
        "{orders: {count: {gt: 1}, definition: {payments: {event: a, order_id: b, amount: c},"
        " currency: RMB}}}",
        "orders.definition.currency",
        "CNY",
    ),
    (
        "{orders: {count: {gt: 1}, definition: {payments: {event: a, order_id: b, amount: c},"
        " currency: XYZ}}}",
        "orders.definition.currency",
        "CNY",
    ),
    ("{related: {at_least: 1}}", "related", "`type: ...`"),
    ("{related: {type: a, at_least: -1}}", "related.at_least", "whole number"),
    ("{consent: {purpose: a, is: denied}}", "consent.is", "`refused`"),
    ("{consent: {purpose: a}}", "consent", "`is: ...`"),
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


WORDS = (
    *words.RULES,
    "eq",
    "event",
    "where",
    "within",
    "during",
    "steps",
    "x",
    "ratio",
    "net_spend",
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.sampled_from(WORDS), parts),
    max_leaves=10,
)


@examples(200)
@given(json_values)
def test_any_form_is_parsed_or_raises_rule_error(form: Any) -> None:
    rule = None
    with suppress(RuleError):
        rule = parse_rule(form)
    assert rule is None or msgspec.json.decode(json_of(rule)) == dump_rule(rule)
