"""Evaluates orders: payments and refunds, joined by the id of the order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from services.kernel.rules.features import OrderMeasure, Orders
from services.kernel.rules.ids import accumulator_id
from services.kernel.rules.inputs import RUNNING_MEASURES, payments_of, refunds_of
from services.kernel.rules.readings.aggregates import FeatureFn, Reading, indexes_of
from services.kernel.rules.readings.amounts import MICRO, from_micro_units
from services.kernel.rules.readings.ranges import END_US, Range, range_of, turns_of
from services.kernel.rules.readings.views import ProfileFacts, RecordsView
from services.kernel.rules.values import Json
from services.kernel.time import DAY_US

_ADDED = (OrderMeasure.COUNT, OrderMeasure.NET_SPEND, OrderMeasure.REFUNDED)


class Order(NamedTuple):
    """One paid order; amounts in micro-units of the reporting currency."""

    paid_at_us: int
    order_id: str
    amount: int
    #: At most `amount`.
    refunded: int

    @property
    def net(self) -> int:
        return self.amount - self.refunded


def read_orders(feature: Orders, limit: Json) -> FeatureFn:
    """Return how orders are read. `limit`: the number that they are compared with, or None."""
    payments = accumulator_id(payments_of(feature.definition, feature.where))
    refund_spec = refunds_of(feature.definition)
    refunds = None if refund_spec is None else accumulator_id(refund_spec)
    measure, range_at, turns = feature.measure, range_of(feature.window), turns_of(feature.window)

    def read(profile: ProfileFacts, as_of_us: int) -> Reading:
        paid: RecordsView | None = profile.accumulator(payments)
        if paid is None:
            empty = 0 if measure in _ADDED else None
            return Reading(lambda at_us: empty, iter(()))
        returned = None if refunds is None else profile.accumulator(refunds)
        orders = orders_of(paid, returned)
        times = [order.paid_at_us for order in orders]

        def value_at(at_us: int) -> Json:
            range_ = range_at(profile, at_us)
            low, high = indexes_of(times, range_)
            older = _older(measure, paid, returned, range_) if measure in _ADDED else 0
            return _measure(measure, orders[low:high], at_us, older)

        def times_at(at_us: int) -> Sequence[int]:
            return times[slice(*indexes_of(times, range_at(profile, at_us)))]

        counted = [*times, *(cell.at_us for cell in paid.older())]
        later = turns(counted, as_of_us) if turns else iter(())
        if measure in RUNNING_MEASURES:
            later = _running_turns(measure, limit, as_of_us, later, times_at)
        return Reading(value_at, later)

    return read


def orders_of(payments: RecordsView, refunds: RecordsView | None) -> list[Order]:
    """Return the orders of a profile, ascending by (paid_at_us, order id).

    Of several payments of one order, and of several refunds of it with one id, the last by
    (occurred_at, amount) counts.
    """
    paid = {order_id: last for (order_id, _), last in _last_statements(payments).items()}
    returned: dict[str, int] = {}
    if refunds is not None:
        for (order_id, _), (_, amount) in _last_statements(refunds).items():
            returned[order_id] = returned.get(order_id, 0) + amount
    return sorted(
        Order(at_us, order_id, amount, min(amount, returned.get(order_id, 0)))
        for order_id, (at_us, amount) in paid.items()
    )


def _last_statements(records: RecordsView) -> dict[tuple[str, str], tuple[int, int]]:
    """Return the last (occurred_at, amount) of each (order id, id of the statement)."""
    last: dict[tuple[str, str], tuple[int, int]] = {}
    for at_us, (order_id, own_id, amount) in zip(records.times, records.values, strict=True):
        key = (order_id, own_id)
        last[key] = max((at_us, amount), last.get(key, (at_us, amount)))
    return last


def _older(
    measure: OrderMeasure, paid: RecordsView, returned: RecordsView | None, range_: Range
) -> int:
    """Return what statements that are only known by day add to a measure.

    Their orders are no longer known, so a repeated payment counts twice.
    """
    payments = [cell for cell in paid.older() if _is_within(cell.at_us, range_)]
    if measure is OrderMeasure.COUNT:
        return sum(cell.records for cell in payments)
    refunds = [] if returned is None else returned.older()
    refunded = sum(cell.sum for cell in refunds if _is_within(cell.at_us, range_))
    if measure is OrderMeasure.REFUNDED:
        return refunded
    return max(0, sum(cell.sum for cell in payments) - refunded)


def _is_within(at_us: int, range_: Range) -> bool:
    return range_.start_us <= at_us < range_.end_us


def _measure(measure: OrderMeasure, orders: Sequence[Order], at_us: int, older: int) -> Json:
    match measure:
        case OrderMeasure.COUNT:
            return len(orders) + older
        case OrderMeasure.NET_SPEND:
            return from_micro_units(sum(order.net for order in orders) + older)
        case OrderMeasure.REFUNDED:
            return from_micro_units(sum(order.refunded for order in orders) + older)
    if not orders:
        return None
    match measure:
        case OrderMeasure.MEAN_VALUE:
            return sum(order.net for order in orders) / (MICRO * len(orders))
        case OrderMeasure.MAX_VALUE:
            return from_micro_units(max(order.net for order in orders))
        case OrderMeasure.DAYS_SINCE_LAST:
            return (at_us - orders[-1].paid_at_us) / DAY_US
        case OrderMeasure.LAST_AT:
            return orders[-1].paid_at_us / DAY_US
    interval_us = mean_interval_us([order.paid_at_us for order in orders])
    if interval_us is None:
        return None
    if measure is OrderMeasure.MEAN_INTERVAL:
        return interval_us / DAY_US
    return (orders[-1].paid_at_us + interval_us - at_us) / DAY_US


def mean_interval_us(times: Sequence[int]) -> int | None:
    """Return the mean time between consecutive instants, rounded down; None for fewer than two."""
    return (times[-1] - times[0]) // (len(times) - 1) if len(times) > 1 else None


def _running_turns(
    measure: OrderMeasure,
    limit: Json,
    as_of_us: int,
    window_turns: Iterator[int],
    times_at: Callable[[int], Sequence[int]],
) -> Iterator[int]:
    """Yield the instants after `as_of_us` at which a running measure may pass a number, ascending.

    `times_at` returns the times of the orders in the window at an instant; between two turns of the
    window they are the same.
    """
    start_us = as_of_us
    for end_us in chain(window_turns, (END_US,)):
        near_us = _passing_us(measure, times_at(start_us), limit)
        if near_us is not None:
            yield from (at for at in (near_us - 1, near_us, near_us + 1) if start_us < at < end_us)
        if end_us < END_US:
            yield end_us
        start_us = end_us


def _passing_us(measure: OrderMeasure, times: Sequence[int], limit: Json) -> int | None:
    """Return when a running measure of some orders is nearest to a number; None = never."""
    if not times or not isinstance(limit, int | float) or abs(limit) > MICRO:
        return None
    if measure is OrderMeasure.DAYS_SINCE_LAST:
        return times[-1] + round(limit * DAY_US)
    interval_us = mean_interval_us(times)
    return None if interval_us is None else times[-1] + interval_us - round(limit * DAY_US)
