"""Computes the orders of a person slowly and obviously, for the oracle of rules."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from oracle.rules_oracle import (
    SCALARS,
    OracleEvent,
    Person,
    get,
    kind,
    matching,
    number_of,
    passes,
    text_of,
    units_of,
)

from services.kernel.rules.features import OrderDefinition, OrderMeasure, Orders

DAY_US = 86_400_000_000
_NUMBER = re.compile(r"([+-]?)([0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(\.[0-9]+)?([万亿]?)")
#: Those that random logs have.
_SPELLINGS = {"cny": "CNY", "人民币": "CNY"}
_FACTOR = {"": 1, "万": 10**4, "亿": 10**8}


@dataclass(frozen=True)
class Order:
    """One paid order; amounts are in units of 1e-6."""

    paid_us: int
    amount: int
    refunded: int


def measure(feature: Orders, person: Person, in_window: set[int]) -> Any:
    """Return a measure of the orders that were paid at some instants; None = absent."""
    orders = [o for o in orders_of(feature, person.events) if o.paid_us in in_window]
    values = [order.amount - order.refunded for order in orders]
    if feature.measure is OrderMeasure.COUNT:
        return len(orders)
    if feature.measure is OrderMeasure.NET_SPEND:
        return number_of(sum(values))
    if feature.measure is OrderMeasure.REFUNDED:
        return number_of(sum(order.refunded for order in orders))
    if not orders:
        return None
    if feature.measure is OrderMeasure.MEAN_VALUE:
        return float(Fraction(sum(values), 10**6 * len(values)))
    if feature.measure is OrderMeasure.MAX_VALUE:
        return number_of(max(values))
    return _interval(feature.measure, [o.paid_us for o in orders], person.now_us)


def _interval(wanted: OrderMeasure, times: list[int], now_us: int) -> float | None:
    if wanted is OrderMeasure.DAYS_SINCE_LAST:
        return float(Fraction(now_us - max(times), DAY_US))
    if wanted is OrderMeasure.LAST_AT:
        return float(Fraction(max(times), DAY_US))
    if len(times) < 2:
        return None
    mean_us = (max(times) - min(times)) // (len(times) - 1)
    if wanted is OrderMeasure.MEAN_INTERVAL:
        return float(Fraction(mean_us, DAY_US))
    assert wanted is OrderMeasure.DAYS_UNTIL_NEXT
    return float(Fraction(max(times) + mean_us - now_us, DAY_US))


def orders_of(feature: Orders, events: list[OracleEvent]) -> list[Order]:
    """Return all orders of a person."""
    definition = feature.definition
    payments: dict[str, tuple[int, int]] = {}
    for event in matching(definition.payments, events):
        id_, amount = _id(event, definition.order_id), _amount(event, definition.amount, definition)
        if passes(feature.where, event.properties) and id_ is not None and amount is not None:
            payment = (event.occurred_at_us, amount)
            payments[id_] = max(payment, payments.get(id_, payment))
    refunds: dict[tuple[str, str | None], tuple[int, int]] = {}
    for event in matching(definition.refunds, events) if definition.refunds else []:
        id_ = _id(event, definition.refund_order_id)
        amount = _amount(event, definition.refund_amount, definition)
        if id_ is not None and amount is not None:
            refund_id = _id(event, definition.refund_id) if definition.refund_id else None
            refund = (event.occurred_at_us, amount)
            refunds[id_, refund_id] = max(refund, refunds.get((id_, refund_id), refund))
    return [
        Order(
            paid_us, amount, min(amount, sum(r for (of, _), (_, r) in refunds.items() if of == id_))
        )
        for id_, (paid_us, amount) in payments.items()
    ]


def _id(event: OracleEvent, path: str) -> str | None:
    value = get(event.properties, path)
    if value == "":
        return None
    return text_of(value) if kind(value) in SCALARS else None


def _amount(event: OracleEvent, path: str, definition: OrderDefinition) -> int | None:
    """Return a valid amount in the reporting currency; None if it is none."""
    path_of_currency = definition.currency_property
    currency = get(event.properties, path_of_currency) if path_of_currency else None
    if isinstance(currency, str):
        currency = _SPELLINGS.get(currency, currency)
    if currency not in (None, definition.currency):
        return None
    units = units_of(_read(get(event.properties, path)))
    return None if units is None or units < 0 else units


def _read(value: Any) -> Any:
    """Return the number in a text; any other value as it is."""
    if not isinstance(value, str):
        return value
    match = _NUMBER.fullmatch(unicodedata.normalize("NFKC", value).strip())
    if match is None:
        return None
    number = Decimal(match[2].replace(",", "") + (match[3] or "")) * _FACTOR[match[4]]
    number = -number if match[1] == "-" else number
    return int(number) if number == int(number) else float(number)
