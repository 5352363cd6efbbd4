"""Tests that rules are written as text in two languages, and read back."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from oracle import rules_text_strategies as some
from properties import examples

from services.kernel.errors import RuleError
from services.kernel.rules.features import (
    Aggregate,
    DateDistance,
    DateMeasure,
    Feature,
    Function,
    OrderDefinition,
    OrderMeasure,
    Orders,
    Trait,
    Trend,
    TrendMeasure,
)
from services.kernel.rules.filters import EventFilter
from services.kernel.rules.forms.json_form import dump_rule, parse_rule
from services.kernel.rules.forms.text import to_text
from services.kernel.rules.forms.text_parse import parse_text
from services.kernel.rules.forms.text_words import ENGLISH, RESERVED, Language
from services.kernel.rules.forms.words import TREND_FUNCTIONS
from services.kernel.rules.limits import MAX_DEPTH, MAX_SENT
from services.kernel.rules.model import All, Any_, Not, Predicate, Rule
from services.kernel.rules.values import Operator
from services.kernel.rules.windows import Rolling

SHANGHAI = "Asia/Shanghai"
ORDERS = OrderDefinition(
    EventFilter.of("paid"), "id", "total", EventFilter.of("refunded"), "id", "total", "refund"
)
TEXTS = [
    (
        "{all: [{count: {event: attended_trial, within: 7d, at_least: 1}},"
        " {not: {count: {event: purchased_course, at_least: 1}}}]}",
        "count of attended_trial in the last 7 days ≥ 1 and not (count of purchased_course ≥ 1)",
        "最近7天内 attended_trial 次数 ≥ 1 并且 不满足（purchased_course 次数 ≥ 1）",
    ),
    (
        "{distinct: {event: [viewed, read], property: course_id,"
        " where: {paid: true, level: [b, a]}, during: last 3 weeks to date, at_least: 3}}",
        'number of different course_id of read or viewed (where level in ["a", "b"]'
        " and paid = true) during last 3 weeks to date ≥ 3",
        '前3个自然周至今 read 或 viewed（其中 level 属于 ["a", "b"] 并且 paid = 是）'
        " 的 course_id 去重数 ≥ 3",
    ),
    ("{segment: vip}", "in segment vip", "属于人群 vip"),
    ("{tag: {id: rfm, is: 高}}", "has tag rfm = 高", "有标签 rfm = 高"),
    (
        "{stage: {of: lifecycle, is: silent}}",
        "in stage of lifecycle = silent",
        "处于阶段 lifecycle = silent",
    ),
    (
        "{trait: {name: home city, party: [first], contains: 京, ignore_case: true}}",
        '"home city" from first party contains "京" ignoring case',
        '"home city" 来自 第一方 包含 "京" 忽略大小写',
    ),
    ("{trait: {name: not, missing: true}}", '"not" is missing', '"not" 缺失'),
    ("{trait: {name: 次数, eq: 1}}", '"次数" = 1', '"次数" = 1'),
    (
        "{last: {event: '*', property: amount, not_in: [1.5, a]}}",
        'last amount of any event not in ["a", 1.5]',
        '任意事件 的 amount 末次值 不属于 ["a", 1.5]',
    ),
    (
        "{last_seen: {event: Order Done, within: 30d}}",
        'time since last "Order Done" < 30 days',
        '距末次 "Order Done" < 30天',
    ),
    (
        "{sequence: {steps: [{event: a}, {event: b, within: 7d, without: {event: c}}],"
        " same: course, during: this month, at_least: 2}}",
        "count of sequence (a then b within 7 days without c) with same course"
        " during this month ≥ 2",
        "本月 依次发生（a 然后 7天内 b 期间没有 c） 相同 course 次数 ≥ 2",
    ),
    (
        "{trend: {sum: {event: a, property: amount, within: 14d}, ratio: {lt: 0.5}}}",
        "ratio of sum of amount of a in the last 14 days to the period before < 0.5",
        "最近14天内 a 的 amount 总和 环比倍数 < 0.5",
    ),
    (
        "{date: {trait: birthday, days_until_anniversary: {at_most: 3}, zone: Asia/Tokyo}}",
        "days until anniversary of birthday (zone Asia/Tokyo) ≤ 3",
        "birthday 周年剩余天数（时区 Asia/Tokyo） ≤ 3",
    ),
    (
        "{top: {event: bought, property: brand, limit: 3, contains: sneakers}}",
        'top 3 brand of bought contains "sneakers"',
        'bought 的 brand 前3位 包含 "sneakers"',
    ),
    (
        "{orders: {mean_value: {gt: 1000}, where: {shop: a}, within: 30d}}",
        'mean value of orders (where shop = "a") in the last 30 days > 1000',
        '最近30天内 客单价（其中 shop = "a"） > 1000',
    ),
    (
        "{related: {type: course, where: {level: a}, at_least: 1}}",
        'number of related course (where level = "a") ≥ 1',
        '关联 course（其中 level = "a"） 数量 ≥ 1',
    ),
    (
        "{count: {event: a, before: {event: paid, which: first, within: 7d}, eq: 0}}",
        "count of a within 7 days before first paid = 0",
        "在 首次 paid 之前 7天内 a 次数 = 0",
    ),
    ("{all: []}", "always", "总是"),
    ("{not: {any: []}}", "not (never)", "不满足（从不）"),
    (
        "{all: [{tag: a}, {any: [{tag: b}, {all: [{tag: c}]}]}]}",
        "has tag a and (has tag b or all of (has tag c))",
        "有标签 a 并且 （有标签 b 或者 全部满足（有标签 c））",
    ),
]


@pytest.mark.parametrize(("form", "english", "chinese"), TEXTS)
def test_rule_is_written_in_both_languages(form: str, english: str, chinese: str) -> None:
    rule = parse_rule(yaml.safe_load(form), zone=SHANGHAI, orders=ORDERS)
    assert to_text(rule, zone=SHANGHAI, orders=ORDERS) == english
    assert to_text(rule, Language.CHINESE, zone=SHANGHAI, orders=ORDERS) == chinese
    for text in (english, chinese):
        assert parse_text(text, zone=SHANGHAI, orders=ORDERS) == rule


@pytest.mark.parametrize("language", Language)
@examples(100)
@given(some.rules, st.data())
def test_text_of_a_rule_is_parsed_to_an_equal_rule(
    language: Language, rule: Rule, data: st.DataObject
) -> None:
    zone = data.draw(st.sampled_from(("", SHANGHAI)))
    text = to_text(rule, language, zone=zone)
    assert "\n" not in text
    assert parse_text(text, zone=zone or "UTC") == rule


CLEANERS = {"city": "place@1"}


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Predicate(Trait("city"), Operator.EQ, "a"), 'city standardised as none = "a"'),
        (Predicate(Trait("city", (), "place@1"), Operator.EQ, "北京"), 'city = "北京市"'),
        (
            Predicate(Trait("town", (), "place@1"), Operator.EXISTS),
            'town standardised as "place@1" exists',
        ),
        (Predicate(Trait("town"), Operator.EXISTS), "town exists"),
    ],
)
def test_cleaner_of_the_workspace_is_left_out(rule: Rule, text: str) -> None:
    assert to_text(rule, cleaners=CLEANERS) == text
    assert parse_text(text, cleaners=CLEANERS) == rule
    assert parse_rule(dump_rule(rule, cleaners=CLEANERS), cleaners=CLEANERS) == rule


MEASURES: list[Feature] = [
    *(Orders(ORDERS, measure) for measure in OrderMeasure),
    *(DateDistance("order", measure, SHANGHAI) for measure in DateMeasure),
    *(
        Trend(Aggregate(f, EventFilter.of("a"), "b", Rolling(1)), measure)
        for f in TREND_FUNCTIONS.values()
        if f is not Function.COUNT
        for measure in TrendMeasure
    ),
]


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("feature", MEASURES, ids=range(len(MEASURES)))
def test_every_measure_is_read_back(language: Language, feature: Feature) -> None:
    rule = Predicate(feature, Operator.GE, 1)
    assert parse_text(to_text(rule, language)) == rule
    assert parse_text(to_text(rule, language, orders=ORDERS), orders=ORDERS) == rule


@examples(50)
@given(some.rules)
def test_definition_of_the_workspace_is_left_out(rule: Rule) -> None:
    text = to_text(rule, orders=ORDERS)
    assert parse_text(text, orders=ORDERS) == rule


@examples(50)
@given(some.leaves, some.leaves)
def test_texts_of_different_rules_differ(a: Rule, b: Rule) -> None:
    assert (to_text(a) == to_text(b)) is (a == b)


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_name_that_is_a_word_of_the_language_is_quoted(name: str) -> None:
    rule = Predicate(Aggregate(Function.SUM, EventFilter.of(name), name), Operator.GE, 1)
    trait = Predicate(Trait(name), Operator.EQ, "a")
    for language in Language:
        assert parse_text(to_text(rule, language)) == rule
        assert parse_text(to_text(All((trait, rule)), language)) == All((trait, rule))


@pytest.mark.parametrize(
    "name", sorted({w for p in ENGLISH.values() for w in p.split()} - RESERVED)
)
def test_name_that_begins_a_phrase_needs_no_quotes(name: str) -> None:
    rule = Predicate(Trait(name), Operator.IN, ["a"])
    events = Predicate(Aggregate(Function.SUM, EventFilter.of(name), name), Operator.GE, 1)
    for language in Language:
        for leaf in (rule, events):
            assert '"' not in to_text(leaf, language).replace('["a"]', "")
            assert parse_text(to_text(leaf, language)) == leaf


A, B, C = (Predicate(Trait(name), Operator.EXISTS) for name in "abc")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a exists or b exists and c exists", Any_((A, All((B, C))))),
        ("not a exists and b exists", All((Not(A), B))),
        ("not (a exists and b exists)", Not(All((A, B)))),
        ("((a exists))", A),
        ("a 存在 且 (b exists or c 存在）", All((A, Any_((B, C))))),
        ("a 存在 或 b 存在", Any_((A, B))),
        ("没有 a 存在", Not(A)),
        ("  a\n exists\tor b exists ", Any_((A, B))),
    ],
)
def test_spelling_of_a_person_is_parsed(text: str, rule: Rule) -> None:
    assert parse_text(text) == rule


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("count of a >= 1", "count of a ≥ 1"),
        ("count of a != 1", "count of a ≠ 1"),
        ("count of a in the last 7d ≥ 1", "count of a in the last 7 days ≥ 1"),
        ("count of a in the last 1 day ≥ 1", "count of a in the last 24 hours ≥ 1"),
        ("最近 7 天内 a 次数 ≥ 1", "count of a in the last 7 days ≥ 1"),
        ("in the last 7 days a 次数 ≥ 1", "count of a in the last 7 days ≥ 1"),
        ("a = “北京市”", 'a = "北京市"'),
        ("a in [1，2、3]", "a in [3, 2, 1]"),
    ],
)
def test_two_spellings_are_equal(one: str, other: str) -> None:
    assert parse_text(one) == parse_text(other)


REJECTED = [
    ("", 1, "the name of a trait"),
    ("count of", 9, "the name of an event"),
    ("count of a", 11, "`≥ 1`"),
    ("count of a ≥", 13, "a number"),
    ("count of a ≥ x", 14, "a number"),
    ("count of a ≥ 1 und b exists", 16, "`and`"),
    ("count of where ≥ 1", 10, "in quotes"),
    ("sum of amount ≥ 1", 15, "`of`"),
    ("(a exists", 10, "`)`"),
    ("a exists)", 9, "the end"),
    ("a in 3", 6, "`[`"),
    ('a = "x', 5, "a text"),
    ("count of a in the last week ≥ 1", 24, "7 days"),
    ("count of a during this moon ≥ 1", 19, "this month"),
    ("count of a (where x) ≥ 1", 20, "`≥ 1`"),
    ("time since last a < 3", 21, "7 days"),
    ("ratio of count of a in the last 7 days < 1", 40, "`to the period before`"),
    ("最近7天内 a 并且", 9, "`次数`"),
    ("最近7天内 a 的 x ≥ 1", 13, "`总和`"),
    ("count of a ≥ -1", 1, "whole number"),
    ("b exists and count of a ≥ 1.5", 14, "whole number"),
    ("count of sequence (a) ≥ 1", 1, "2 to 10"),
    ("a starts with 3", 1, "quotes"),
    ("days until a (zone Peking) ≥ 1", 1, "Asia/Shanghai"),
    ("net spend of orders > 1", 1, "define the orders"),
    ("ratio of count of a to the period before < 1", 1, "within: 14d"),
    ("in the last 7 days time since last a < 1 day", 1, "window"),
]


@pytest.mark.parametrize(("text", "place", "remedy"), REJECTED)
def test_wrong_text_raises_with_its_place_and_what_is_expected(
    text: str, place: int, remedy: str
) -> None:
    with pytest.raises(RuleError) as raised:
        parse_text(text)
    assert raised.value.problem.startswith(f"at character {place}:")
    assert remedy in raised.value.remedy


@pytest.mark.parametrize(
    "text",
    ["(" * 5_000, "not " * 5_000, "a exists and " * 2_000 + "a exists", "x" * (MAX_SENT + 1)],
    ids=["brackets", "not", "long", "length"],
)
def test_text_beyond_the_size_limits_raises(text: str) -> None:
    with pytest.raises(RuleError, match=r"deep|too large|more than|too long"):
        parse_text(text)


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("count of a (where %s) ≥ 1", "x = 1 and "),
        ("x in [%s]", "1, "),
        ("count of %s ≥ 1", "a or "),
        ("count of sequence (%s) ≥ 1", "a then "),
        ("x stated by %s = 1", "a, "),
        ("x from %s = 1", "first party, "),
    ],
    ids=["filters", "values", "names", "steps", "sources", "parties"],
)
def test_parts_beyond_a_bound_are_not_read(text: str, most: str) -> None:
    with pytest.raises(RuleError, match="too many parts in a row"):
        parse_text(text % (most * 2_000))


@pytest.mark.parametrize("language", Language)
def test_trait_named_like_any_event_is_read_back(language: Language) -> None:
    rules = (
        Predicate(Trait("*"), Operator.EQ, "a"),
        Predicate(DateDistance("*", DateMeasure.YEARS_SINCE, "UTC"), Operator.GE, 18),
    )
    for rule in rules:
        assert parse_text(to_text(rule, language)) == rule


def test_deepest_rule_is_read_back() -> None:
    rule: Rule = A
    for _ in range((MAX_DEPTH - 1) // 2):
        rule = Not(All((rule,)))
    for language in Language:
        assert parse_text(to_text(rule, language)) == rule


pieces = st.sampled_from((*ENGLISH.values(), *'()[],="“', "a", "1", "7 days", "次数", "的", ""))


@examples(150)
@given(some.rules, st.sampled_from(Language), st.data())
def test_any_text_is_parsed_or_raises_with_its_place(
    rule: Rule, language: Language, data: st.DataObject
) -> None:
    text = to_text(rule, language)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 5)))
    changed = text[:start] + data.draw(pieces | st.text(max_size=3)) + text[end:]
    try:
        parsed = parse_text(changed)
    except RuleError as error:
        parsed, problem = None, error.problem
    if parsed is None:
        assert problem.startswith(("at character", "the rule"))
    else:
        assert parse_text(to_text(parsed)) == parsed
