"""Tests what the retail pack computes of a customer: preferences, value, next order, RFM layers."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from pack_rules import NOW, Call, PackRules, before, order, refund, to_us

from services.kernel.explain.model import Person
from services.kernel.explain.tree import explain
from services.kernel.fold.events import TRACK, EventView
from services.kernel.rules.features import OrderMeasure, Orders
from services.kernel.rules.model import Predicate
from services.kernel.rules.values import Operator
from services.profile.domain.blocks import ProfileBlock, ProfileBlocks

PACK = PackRules.of("retail")


def viewed(days: float, category: str) -> Call:
    return before(days, "viewed_product", sku="A", category=category)


def test_categories_that_are_viewed_most_are_the_preferences_of_a_customer() -> None:
    calls = [
        *(viewed(days, "shoes") for days in (1, 2, 3)),
        *(viewed(days, "bags") for days in (4, 5)),
        *(viewed(6, "hats"), viewed(7, "coats")),
        *(viewed(days, "toys") for days in (91, 92, 93, 94)),
    ]
    assert PACK.computed(calls)["favourite_categories"] == ["shoes", "bags", "hats"]
    found = ProfileBlocks(PACK.settings, {}).split((), PACK.computed(calls), ())
    assert "favourite_categories" in found[ProfileBlock.PREFERENCES].computed_traits
    assert "favourite_categories" not in PACK.computed([before(1, "page")])


def test_lifetime_value_is_the_sum_of_the_orders_less_the_refunds_to_the_cent() -> None:
    calls = [order(9, 1_200.10, id_="a"), order(5, 0.20, id_="b"), refund(1, 200.30, "a")]
    assert PACK.computed(calls)["lifetime_value"] == 1_000.0
    # An order that is placed and not paid is no purchase, and a refund of no order is nothing.
    placed = order(2, 500, id_="c", event="order_placed")
    computed = PACK.computed([*calls, placed, refund(1, 70, "of another customer")])
    assert (computed["lifetime_value"], computed["order_count"]) == (1_000.0, 2)


def test_next_order_is_expected_after_the_mean_interval_and_explained_by_the_payments() -> None:
    days = (30, 18, 10)
    computed = PACK.computed([order(day, 10) for day in days])
    assert computed["repurchase_interval_days"] == 10
    assert computed["days_until_next_order"] == 0
    facts = {number.to_bytes(16, "big"): day for number, day in enumerate((*days, 7))}
    events = [
        EventView(
            *(TRACK, "order_paid" if day in days else "page"),
            *(to_us(before(day, "").at), fact_id),
            properties=b'{"order_id":"%d","amount":10,"currency":"CNY"}' % day,
        )
        for fact_id, day in facts.items()
    ]
    orders = PACK.settings.orders
    assert orders is not None
    for measure in (OrderMeasure.MEAN_INTERVAL, OrderMeasure.DAYS_UNTIL_NEXT):
        question = Predicate(Orders(orders, measure), Operator.EXISTS)
        root = explain(question, Person([events]), to_us(NOW)).root
        assert root.facts is not None
        assert sorted(facts[fact_id] for fact_id in root.facts.fact_ids) == [10, 18, 30]


#: Days since the last order, number of orders, and amount of each order of forty customers.
CUSTOMERS = [(5 * n + 1, 1 + n % 20, 10 + (4 * n) % 41) for n in range(40)]
LAYERS = {
    (True, True, True): "重要价值客户",
    (False, True, True): "重要保持客户",
    (True, False, True): "重要发展客户",
    (False, False, True): "重要挽留客户",
    (True, True, False): "一般价值客户",
    (False, True, False): "一般保持客户",
    (True, False, False): "一般发展客户",
    (False, False, False): "一般挽留客户",
}


def test_rfm_layer_goes_by_the_quintiles_of_recency_frequency_and_money() -> None:
    calls = [
        [order(recency + n, amount) for n in range(count)] for recency, count, amount in CUSTOMERS
    ]
    money = [count * amount for _, count, amount in CUSTOMERS]
    ranks = (
        sorted(-recency for recency, *_ in CUSTOMERS),
        sorted(count for _, count, _ in CUSTOMERS),
        sorted(money),
    )

    def is_upper(ordered: list[int], value: int) -> bool:
        """Return whether a value is in the upper two of five quintiles of eight customers each."""
        return bisect_left(ordered, value) >= 24

    expected = [
        LAYERS[
            is_upper(ranks[0], -recency),
            is_upper(ranks[1], count),
            is_upper(ranks[2], count * amount),
        ]
        for recency, count, amount in CUSTOMERS
    ]
    found = PACK.layers("rfm", [*calls, [before(1, "page")]])
    assert found == [*expected, ""], "a customer without an order has no layer"
    assert set(expected) == set(LAYERS.values())


@pytest.mark.parametrize("city", ["北京", "北京市", " 北京 ", "  北京市"])
def test_every_spelling_of_a_city_is_one_value_in_the_rules_of_the_pack(city: str) -> None:
    assert PACK.value("tag", "region", [before(1, "identify", city=city)]) == "华北"
