"""Tests each rule of the retail pack with a case for which it holds, and one for each condition."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from pack_rules import NOW, SHANGHAI, Call, PackRules, before, order, refund

PACK = PackRules.of("retail")
SECOND = timedelta(seconds=1)


def customer(**traits: str) -> Call:
    """Return what is known about a woman in Nanjing, but for these traits."""
    return before(400, "identify", **{"gender": "女", "province": "江苏", **traits})


#: Two orders of A in the month, with a mean above 1,000 and together 3,000 or more.
BOUGHT = [order(20, 1_800, "A"), order(10, 1_400, "C")]
EAST_HIGH_VALUE_WOMEN = {
    "all conditions": ([customer(), *BOUGHT], True),
    "another region": ([customer(province="广东省"), *BOUGHT], False),
    "no A": ([customer(), order(20, 1_800, "B"), order(10, 1_400, "C")], False),
    "A 30 days ago": ([customer(), order(30, 1_800, "A"), order(10, 1_400, "C")], False),
    "mean of 1000": (
        [customer(), order(60, 1_800, "C"), order(20, 1_000, "A"), order(10, 1_000)],
        False,
    ),
    "no high value": ([customer(), order(20, 2_900, "A")], False),
    "a man": ([customer(gender="男"), *BOUGHT], False),
}


@pytest.mark.parametrize("case", EAST_HIGH_VALUE_WOMEN)
def test_named_example_has_only_those_who_fulfil_all_conditions(case: str) -> None:
    calls, expected = EAST_HIGH_VALUE_WOMEN[case]
    assert ("east-high-value-women" in PACK.memberships(calls)) is expected


def test_refund_that_lowers_the_mean_ends_the_named_example() -> None:
    calls = [customer(), order(20, 1_800, "A", id_="a"), order(10, 1_400, id_="b")]
    assert "east-high-value-women" in PACK.memberships(calls)
    assert "east-high-value-women" not in PACK.memberships([*calls, refund(5, 1_300, "a")])


def test_region_is_that_of_any_spelling_of_province_or_city() -> None:
    for trait in ({"province": "浙江"}, {"province": " 上海市 "}, {"city": "南京"}):
        assert "tag:region=华东" in PACK.memberships([before(1, "identify", **trait)]), trait
    for trait in ({"province": "湖北"}, {"city": "深圳市"}, {"country": "江苏"}):
        assert "tag:region=华东" not in PACK.memberships([before(1, "identify", **trait)]), trait


REGIONS = {
    "华东": ("浙江", "青岛"),
    "华北": ("河北", "太原"),
    "华中": ("湖北", "长沙"),
    "华南": ("广东", "海口"),
    "西南": ("四川", "昆明"),
    "西北": ("陕西", "兰州"),
    "东北": ("辽宁", "长春"),
    "港澳台": ("香港", "澳门"),
}


@pytest.mark.parametrize("region", REGIONS)
def test_region_follows_from_the_province_or_the_city(region: str) -> None:
    province, city = REGIONS[region]
    assert PACK.value("tag", "region", [before(1, "identify", province=province)]) == region
    assert PACK.value("tag", "region", [before(1, "identify", city=city)]) == region
    assert not PACK.value("tag", "region", [before(1, "identify", city="Paris")])


EAST_A_VISITORS = {
    "all conditions": ([customer(), order(300, 10, "A"), before(6.9, "page")], True),
    "another region": (
        [customer(province="四川"), order(300, 10, "A"), before(6.9, "page")],
        False,
    ),
    "no A": ([customer(), order(300, 10, "B"), before(6.9, "page")], False),
    "visited 7 days ago": ([customer(), order(300, 10, "A"), before(7, "page")], False),
    "used the app only": ([customer(), order(300, 10, "A"), before(1, "screen")], False),
}


@pytest.mark.parametrize("case", EAST_A_VISITORS)
def test_recent_visitors_have_only_those_who_fulfil_all_conditions(case: str) -> None:
    calls, expected = EAST_A_VISITORS[case]
    assert ("east-a-visitors" in PACK.memberships(calls)) is expected


HIGH_VALUE_RECENT_A = {
    "all conditions": (BOUGHT, True),
    "A too long ago": ([order(31, 1_800, "A"), order(10, 1_400, "C")], False),
    "one order": ([order(20, 9_000, "A")], False),
    "too little": ([order(20, 1_599, "A"), order(10, 1_400)], False),
}


@pytest.mark.parametrize("case", HIGH_VALUE_RECENT_A)
def test_recent_purchase_of_a_product_by_high_value_customers(case: str) -> None:
    calls, expected = HIGH_VALUE_RECENT_A[case]
    assert ("high-value-recent-a" in PACK.memberships(calls)) is expected


SLEEPING = {
    "all conditions": ([order(60, 10, "A")], True),
    "never A": ([order(60, 10, "C")], False),
    "B too": ([order(60, 10, "A"), order(90, 10, "B")], False),
    "A and B in one order": ([order(60, 10, "A", "B")], False),
    "59 days ago": ([order(59.99, 10, "A")], False),
    "a visit since then": ([order(90, 10, "A"), before(59, "page")], False),
    "only a message to them since then": ([order(90, 10, "A"), before(1, "message_sent")], True),
}


@pytest.mark.parametrize("case", SLEEPING)
def test_sleeping_customers_bought_a_never_b_and_are_quiet_for_60_days(case: str) -> None:
    calls, expected = SLEEPING[case]
    assert ("sleeping-cross-sell" in PACK.memberships(calls)) is expected


def funnel(*names: str, step_days: float = 0.5) -> list[Call]:
    """Return events in an order, the first ten days ago."""
    return [
        order(10 - i * step_days, 10) if name == "order_paid" else before(10 - i * step_days, name)
        for i, name in enumerate(names)
    ]


STEPS = ("viewed_product", "searched", "added_to_cart", "order_paid")
BROWSE_TO_BUY = {
    "in order": (funnel(*STEPS), True),
    "other events between": (funnel(*STEPS[:2], "page", *STEPS[2:]), True),
    "wrong order": (funnel(*STEPS[:1], *STEPS[2:3], *STEPS[1:2], *STEPS[3:]), False),
    "a step is missing": (funnel(*STEPS[:2], *STEPS[3:]), False),
    "too slow": (funnel(*STEPS, step_days=1.01), False),
    "sent out of order": (list(reversed(funnel(*STEPS))), True),
}


@pytest.mark.parametrize("case", BROWSE_TO_BUY)
def test_sequence_of_browsing_to_buying_needs_order_and_time(case: str) -> None:
    calls, expected = BROWSE_TO_BUY[case]
    assert ("browse-to-buy" in PACK.memberships(calls)) is expected


def test_late_event_completes_the_sequence() -> None:
    without, late = funnel(*STEPS), funnel(*STEPS)[1]
    without.pop(1)
    assert "browse-to-buy" not in PACK.memberships(without)
    assert "browse-to-buy" in PACK.memberships([*without, late])


STARTER_TAGS = {
    "registered": ([before(900, "registered")], "tag:registered", True),
    "not registered": ([before(1, "page")], "tag:registered", False),
    "one order": ([order(900, 1)], "tag:first_purchase", True),
    "no order": ([before(1, "added_to_cart")], "tag:first_purchase", False),
    "two orders": ([order(900, 1), order(1, 1)], "tag:first_purchase", False),
    "one order paid twice": (
        [order(9, 1, id_="o"), order(8, 1, id_="o")],
        "tag:first_purchase",
        True,
    ),
    "active": ([before(29.99, "page")], "tag:active", True),
    "not active": ([before(30, "page")], "tag:active", False),
    "only written to": ([before(1, "message_sent")], "tag:active", False),
    "frequent": ([before(i, "page") for i in range(1, 11)], "tag:frequent_visitor", True),
    "not frequent": ([before(i, "page") for i in range(1, 10)], "tag:frequent_visitor", False),
}  # fmt: skip


@pytest.mark.parametrize("case", STARTER_TAGS)
def test_tags_of_behaviour(case: str) -> None:
    calls, tag, expected = STARTER_TAGS[case]
    assert (tag in PACK.memberships(calls)) is expected


def test_active_ends_exactly_30_days_after_the_last_activity() -> None:
    calls = [before(0, "searched")]
    end = NOW + timedelta(days=30)
    assert "tag:active" in PACK.memberships(calls, end - SECOND)
    assert "tag:active" not in PACK.memberships(calls, end)


SEXES = {"female": "女", "F": "女", "女士": "女", "MALE": "男", "男": "男", "unknown": ""}


@pytest.mark.parametrize("gender", SEXES)
def test_sex_is_that_of_any_spelling(gender: str) -> None:
    assert PACK.value("tag", "sex", [customer(gender=gender)]) == SEXES[gender]


def test_age_changes_on_the_birthday_without_an_event() -> None:
    calls = [customer(birthday="2001-06-20")]
    birthday = datetime(2026, 6, 20, tzinfo=SHANGHAI)
    assert PACK.value("tag", "age", calls, birthday - SECOND) == "18-24岁"
    assert PACK.value("tag", "age", calls, birthday) == "25-34岁"


AGES = {
    "2009": "18岁以下",
    "2008": "18-24岁",
    "1990": "35-44岁",
    "1970": "45-59岁",
    "1960": "60岁以上",
}


@pytest.mark.parametrize("year", AGES)
def test_age_is_in_its_band(year: str) -> None:
    assert PACK.value("tag", "age", [customer(birthday=f"{year}-01-01")]) == AGES[year]
    assert not PACK.value("tag", "age", [customer(birthday="soon")])
    assert not PACK.value("tag", "age", [customer(birthday="2030-01-01")])


def test_first_and_repeat_purchase_exclude_each_other() -> None:
    orders = [order(9 - i, 10) for i in range(3)]
    values = [PACK.value("tag", "purchases", orders[:n]) for n in range(4)]
    assert values == ["", "首购", "复购", "复购"]


@pytest.mark.parametrize(
    ("amount", "band"),
    [
        *((499, "低于500元"), (500, "500-1000元"), (999, "500-1000元")),
        *((1_000, "500-1000元"), (1_000.01, "超过1000元"), (1_001, "超过1000元")),
    ],
)
def test_order_value_is_in_its_band(amount: float, band: str) -> None:
    assert PACK.value("tag", "order_value", [order(3, amount)]) == band
    assert not PACK.value("tag", "order_value", [])


def test_refund_moves_the_order_value_to_a_lower_band() -> None:
    calls = [order(3, 1_001, id_="o")]
    assert PACK.value("tag", "order_value", [*calls, refund(2, 1, "o")]) == "500-1000元"
    assert PACK.value("tag", "order_value", [*calls, refund(2, 1, "other")]) == "超过1000元"


VALUES = {
    "high": (BOUGHT, "高价值"),
    "high, but 90 days ago": ([order(90, 1_600), order(91, 1_400)], "高价值"),
    "last order too long ago": ([order(90.01, 1_600), order(91, 1_400)], "中价值"),
    "orders of last year": ([order(366, 9_000), order(1, 400)], "低价值"),
    "none": ([], ""),
}


@pytest.mark.parametrize("case", VALUES)
def test_value_goes_by_recency_frequency_and_money(case: str) -> None:
    calls, expected = VALUES[case]
    assert PACK.value("tag", "value", calls) == expected


LAYERS = {
    0: "未消费",
    1: "低消费",
    999: "低消费",
    1_000: "中消费",
    4_999: "中消费",
    5_000: "高消费",
}


@pytest.mark.parametrize("amount", LAYERS)
def test_customer_is_in_exactly_one_spending_layer(amount: int) -> None:
    assert PACK.value("tag", "spending_layer", [order(3, amount)]) == LAYERS[amount]
    assert PACK.value("tag", "spending_layer", []) == "未消费"


REGISTERED = before(500, "registered")
STAGES = {
    "nothing but a visit": ([before(1, "page")], "访客"),
    "registered": ([before(1, "registered")], "注册用户"),
    "registered and quiet": ([REGISTERED], "注册用户"),
    "one order": ([REGISTERED, order(1, 10)], "首购客户"),
    "two orders": ([REGISTERED, order(2, 10), order(1, 10)], "复购客户"),
    "four orders": ([order(i, 10) for i in range(1, 5)], "复购客户"),
    "five orders": ([order(i, 10) for i in range(1, 6)], "忠诚客户"),
    "quiet for 89 days": ([order(120, 10), order(89.99, 10)], "复购客户"),
    "quiet for 90 days": ([order(120, 10), order(90, 10)], "沉默客户"),
    "loyal and quiet": ([order(90 + i, 10) for i in range(5)], "沉默客户"),
    "quiet for 179 days": ([order(179.99, 10)], "沉默客户"),
    "quiet for 180 days": ([order(180, 10)], "流失客户"),
    "back after 200 days": ([order(200, 10), before(0, "page")], "首购客户"),
    "only written to": ([order(90, 10), before(1, "message_sent")], "沉默客户"),
}


@pytest.mark.parametrize("case", STAGES)
def test_each_edge_of_the_lifecycle_has_its_stage(case: str) -> None:
    calls, expected = STAGES[case]
    assert PACK.value("stage", "lifecycle", calls) == expected


def test_customer_is_in_exactly_one_stage_at_any_time() -> None:
    calls: list[Call] = []
    for call in [before(399, "page"), REGISTERED, *(order(300 - 20 * i, 900) for i in range(9))]:
        calls.append(call)
        for day in range(0, 400, 20):
            at = call.at + timedelta(days=day)
            assert PACK.value("stage", "lifecycle", calls, at)
            assert PACK.value("stage", "tier", calls, at)


def test_repeat_customer_is_silent_after_90_days_without_an_event() -> None:
    calls = [order(100, 10), order(0, 10)]
    silent_at = NOW + timedelta(days=90)
    assert PACK.value("stage", "lifecycle", calls, NOW + timedelta(days=89)) == "复购客户"
    assert PACK.value("stage", "lifecycle", calls, silent_at - SECOND) == "复购客户"
    assert PACK.value("stage", "lifecycle", calls, silent_at) == "沉默客户"
    # One activity brings the customer back, for 90 days.
    visit = Call(silent_at, "page", {})
    assert PACK.value("stage", "lifecycle", [*calls, visit], silent_at) == "复购客户"
    assert (
        PACK.value("stage", "lifecycle", [*calls, visit], silent_at + timedelta(90)) == "沉默客户"
    )


def test_activity_of_day_50_that_arrives_late_cancels_the_silence() -> None:
    calls = [order(100, 10), order(0, 10)]
    at = NOW + timedelta(days=91)
    late = Call(NOW + timedelta(days=50), "viewed_product", {})
    assert PACK.value("stage", "lifecycle", calls, at) == "沉默客户"
    assert PACK.value("stage", "lifecycle", [*calls, late], at) == "复购客户"
    assert PACK.value("stage", "lifecycle", [*calls, late], late.at + timedelta(90)) == "沉默客户"


def test_tier_rises_at_the_order_that_reaches_it_and_falls_with_a_refund() -> None:
    orders = [order(40, 999.99), order(30, 0.01), order(20, 4_000, id_="big"), order(10, 15_000)]
    tiers = [PACK.value("stage", "tier", orders[:n]) for n in range(5)]
    assert tiers == ["普通会员", "普通会员", "银卡会员", "金卡会员", "钻石会员"]
    assert PACK.value("stage", "tier", [*orders, refund(1, 0.01, "big")]) == "金卡会员"
    assert PACK.value("stage", "tier", [*orders[:3], refund(1, 4_000, "big")]) == "银卡会员"


def test_tier_falls_when_an_order_is_a_year_old() -> None:
    calls, end = [order(0, 1_000)], NOW + timedelta(days=365)
    assert PACK.value("stage", "tier", calls, end - SECOND) == "银卡会员"
    assert PACK.value("stage", "tier", calls, end) == "普通会员"


def test_high_potential_and_churned_customers_are_disjoint() -> None:
    histories = [[order(days, 10)] for days in (1, 29, 31, 179, 180, 400)]
    found = [PACK.memberships(calls) & {"high-potential", "churned"} for calls in histories]
    assert found == [{"high-potential"}, {"high-potential"}, set(), set(), {"churned"}, {"churned"}]
    assert "high-potential" not in PACK.memberships([order(2, 10), order(1, 10)])
