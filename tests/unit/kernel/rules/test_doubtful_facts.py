"""Each fact that cannot be right has a written rule: see the table in docs/how-to/rules.md."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.kernel.fold.events import GROUP, IDENTIFY, TRACK, EventView
from services.kernel.fold.leaf import LeafState, ProfileView, fold_event
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.rules.evaluate import evaluate_predicate
from services.kernel.rules.features import OrderDefinition
from services.kernel.rules.filters import EventFilter
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.model import Predicate
from services.kernel.time import DAY_US, parse_rfc3339

NOW_US = parse_rfc3339("2026-06-15T12:00:00Z")
ORDERS = OrderDefinition(
    EventFilter.of("paid"),
    "order",
    "amount",
    EventFilter.of("refunded"),
    "order",
    "amount",
    "refund",
    "currency",
)


def fact(number: int, type_: int, name: str, days_ago: float, **members: Any) -> EventView:
    json, at_us = msgspec.json.encode(members), NOW_US - int(days_ago * DAY_US)
    fact_id = number.to_bytes(16, "big")
    if type_ == GROUP:
        return EventView(GROUP, "", at_us, fact_id, account_leaf=members["object"])
    return EventView(type_, name, at_us, fact_id, json, json)


def paid(number: int, amount: Any, order: Any = "o-1", **more: Any) -> EventView:
    return fact(number, TRACK, "paid", 10 - number, order=order, amount=amount, **more)


def refunded(number: int, amount: Any, order: Any = "o-1", **more: Any) -> EventView:
    return fact(number, TRACK, "refunded", 10 - number, order=order, amount=amount, **more)


def value(form: dict[str, Any], *facts: EventView) -> Any:
    """Return the value of the feature of a rule for a person with these facts."""
    rule = parse_rule(form, zone="UTC", orders=ORDERS)
    assert isinstance(rule, Predicate)
    state = LeafState()
    for one in facts:
        fold_event(state, one, PredicateIndex([rule]))
    return evaluate_predicate(rule, ProfileView((state,)), NOW_US).actual


def orders(measure: str, *facts: EventView) -> Any:
    return value({"orders": {measure: {"exists": True}}}, *facts)


@pytest.mark.parametrize("amount", [-5, "-5", "about 5", "", None, True, 1e16, [5]])
def test_payment_without_an_amount_from_0_up_is_no_order_and_corrects_none(amount: Any) -> None:
    assert orders("count", paid(1, amount)) == 0
    assert orders("net_spend", paid(1, 20), paid(2, amount)) == 20


def test_payment_without_an_order_id_is_no_order() -> None:
    nameless = [paid(i, 5, order=id_) for i, id_ in enumerate((None, ["o-1"], "", "  "))]
    assert orders("count", *nameless) == 0


def test_refund_with_an_empty_id_is_one_without_an_id() -> None:
    facts = (paid(1, 20), refunded(2, 15, refund=""), refunded(3, 2))
    assert orders("refunded", *facts) == 2, "without ids an order has one refund, the last one"


@pytest.mark.parametrize("currency", ["CNY", "cny", "RMB", "人民币", " ¥ ", None])
def test_payment_in_another_spelling_of_the_reporting_currency_counts(currency: Any) -> None:
    assert orders("count", paid(1, 20, currency=currency)) == 1
    assert orders("refunded", paid(1, 20), refunded(2, 5, currency=currency)) == 5


def test_refund_above_its_order_counts_up_to_the_amount_of_the_order() -> None:
    facts = (paid(1, 20), refunded(2, 15, refund="r-1"), refunded(3, 15, refund="r-2"))
    assert orders("net_spend", *facts) == 0
    assert orders("refunded", *facts) == 20
    assert orders("count", *facts) == 1, "it was paid"


def test_refund_of_no_order_has_no_effect_until_its_payment_arrives() -> None:
    refund = refunded(2, 5, refund="r-1")
    assert (orders("refunded", refund), orders("net_spend", refund)) == (0, 0)
    assert orders("net_spend", refund, paid(1, 20)) == 15


@pytest.mark.parametrize("currency", ["USD", "$", "XAU", "", 156, ["CNY"]])
def test_payment_or_refund_in_another_or_unknown_currency_does_not_count(currency: Any) -> None:
    assert orders("count", paid(1, 20, currency=currency)) == 0
    assert orders("refunded", paid(1, 20), refunded(2, 5, currency=currency)) == 0


@pytest.mark.parametrize(
    ("measure", "expected"),
    [("years_since", None), ("days_until", 2), ("days_until_anniversary", 2)],
)
def test_birthday_in_the_future_has_no_age_but_a_return(measure: str, expected: int | None) -> None:
    born = fact(1, IDENTIFY, "", 5, born="2026-06-17")
    rule = {"date": {"trait": "born", measure: {"exists": True}}}
    assert value(rule, born) == expected


@pytest.mark.parametrize(
    "born",
    [
        *("1990-06-15", " 1990-06-15 ", "19900615", "1990-06-15T23:30:00Z"),
        *("1990-6-15", "1990/6/15", "1990.06.15", "1990年6月15日", "１９９０年６月１５日"),
        19900615,
    ],
)
def test_birthday_is_read_as_people_write_it(born: Any) -> None:
    rule = {"date": {"trait": "born", "days_until_anniversary": {"exists": True}}}
    assert value(rule, fact(1, IDENTIFY, "", 5, born=born)) == 0


@pytest.mark.parametrize("born", ["2026-02-30", "soon", "", 1990, 19901301, None, True])
def test_birthday_that_is_no_date_is_absent(born: Any) -> None:
    rule = {"date": {"trait": "born", "years_since": {"exists": True}}}
    assert value(rule, fact(1, IDENTIFY, "", 5, born=born)) is None


def test_relation_to_an_object_of_which_nothing_is_known_does_not_count() -> None:
    related = fact(1, GROUP, "", 5, object=b"o" * 16)
    assert value({"related": {"type": "course", "at_least": 1}}, related) == 0


def test_trait_that_changes_its_type_is_compared_as_what_it_is_now() -> None:
    old, new = fact(1, IDENTIFY, "", 5, age=30), fact(2, IDENTIFY, "", 4, age="30")
    rule = parse_rule({"trait": {"name": "age", "at_least": 18}})
    assert isinstance(rule, Predicate)
    state = LeafState()
    results = []
    for one in (old, new):
        fold_event(state, one, PredicateIndex([rule]))
        results.append(evaluate_predicate(rule, ProfileView((state,)), NOW_US).holds)
    assert results == [True, False]
