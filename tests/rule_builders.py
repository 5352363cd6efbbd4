"""Builds predicates and event filters for tests, in a short form."""

from __future__ import annotations

from typing import Any

from services.kernel.rules.features import Aggregate, Elapsed, Function, Trait
from services.kernel.rules.filters import EventFilter, PropertyFilter
from services.kernel.rules.model import Predicate
from services.kernel.rules.values import Operator
from services.kernel.rules.windows import EVER, Rolling, Window


def events_named(name: str, where: tuple[PropertyFilter, ...] = ()) -> EventFilter:
    """Return the filter of the events of one name."""
    return EventFilter((name,), where)


def trait_is(name: str, operator: Operator, value: Any = None) -> Predicate:
    """Return a comparison of a trait."""
    return Predicate(Trait(name), operator, value)


def count_of(of: EventFilter, window_us: int, operator: Operator, value: int) -> Predicate:
    """Return a comparison of a number of events; `window_us` 0 = the whole past."""
    return Predicate(Aggregate(Function.COUNT, of, "", _window(window_us)), operator, value)


def distinct_of(
    of: EventFilter, property_: str, window_us: int, operator: Operator, value: int
) -> Predicate:
    """Return a comparison of a number of distinct values; `window_us` 0 = the whole past."""
    feature = Aggregate(Function.DISTINCT, of, property_, _window(window_us))
    return Predicate(feature, operator, value)


def last_seen_of(of: EventFilter, operator: Operator, age_us: int) -> Predicate:
    """Return a comparison of the time since the last event."""
    return Predicate(Elapsed(of), operator, age_us)


def _window(window_us: int) -> Window:
    return Rolling(window_us) if window_us else EVER
