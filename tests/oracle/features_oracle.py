"""Computes the value of every feature slowly and obviously, for the oracle of rules."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from oracle import orders_oracle
from oracle.rules_oracle import (
    SCALARS,
    OracleEvent,
    Person,
    equal,
    get,
    is_match,
    kind,
    matching,
    normal,
    number_of,
    passes,
    text_of,
    trait,
    units_of,
)

from services.kernel.calendar import PeriodUnit
from services.kernel.rules.features import (
    Aggregate,
    DateDistance,
    DateMeasure,
    Elapsed,
    Feature,
    Function,
    Orders,
    Related,
    Sequence,
    TopValues,
    Trait,
    Trend,
    TrendMeasure,
)
from services.kernel.rules.windows import Anchor, Calendar, Ever, Relative, Rolling, Window

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def value_of(feature: Feature, person: Person) -> Any:
    """Return the value of a feature; None = absent."""
    if isinstance(feature, Trait):
        return trait(feature, person.events)
    if isinstance(feature, Aggregate):
        return _aggregate(feature, feature.window, person)
    if isinstance(feature, Elapsed):
        times = [event.occurred_at_us for event in matching(feature.events, person.events)]
        if not times:
            return None
        return person.now_us - (min(times) if feature.since_first else max(times))
    if isinstance(feature, Sequence):
        return _completions(feature, person)
    if isinstance(feature, Trend):
        return _trend(feature, person)
    if isinstance(feature, DateDistance):
        return _date_distance(feature, person)
    if isinstance(feature, TopValues):
        return _top(feature, person)
    if isinstance(feature, Orders):
        times = {event.occurred_at_us for event in within(feature.window, person)}
        return orders_oracle.measure(feature, person, times)
    assert isinstance(feature, Related)
    return sum(passes(feature.where, o) for o in person.related.get(feature.object_type, []))


def within(window: Window, person: Person) -> list[OracleEvent]:
    """Return the events that a window contains."""
    now_us = person.now_us
    if isinstance(window, Ever):
        return person.events
    if isinstance(window, Rolling):
        return [e for e in person.events if now_us - window.span_us < e.occurred_at_us]
    if isinstance(window, Calendar):
        return [
            e
            for e in person.events
            if window.newest
            <= _period(now_us, window) - _period(e.occurred_at_us, window)
            <= window.oldest
        ]
    assert isinstance(window, Relative)
    anchors = [e.occurred_at_us for e in matching(window.events, person.events)]
    if not anchors:
        return []
    anchor = min(anchors) if window.anchor is Anchor.FIRST else max(anchors)
    sign = 1 if window.after else -1
    distances = [(sign * (e.occurred_at_us - anchor), e) for e in person.events]
    return [
        e
        for distance, e in distances
        if distance > 0 and (not window.within_us or distance <= window.within_us)
    ]


def before(window: Window, person: Person) -> list[OracleEvent]:
    """Return the events in the window of the same length that ends where a window begins."""
    if isinstance(window, Rolling):
        end_us = person.now_us - window.span_us
        return [e for e in person.events if end_us - window.span_us < e.occurred_at_us <= end_us]
    assert isinstance(window, Calendar)
    periods = window.oldest - window.newest + 1
    return [
        e
        for e in person.events
        if window.newest + periods
        <= _period(person.now_us, window) - _period(e.occurred_at_us, window)
        <= window.oldest + periods
    ]


def _period(instant_us: int, window: Calendar) -> int:
    """Return the number of the calendar period that contains an instant."""
    day = local_date(instant_us, window.zone)
    if window.unit is PeriodUnit.DAY:
        return day.toordinal()
    if window.unit is PeriodUnit.WEEK:
        return (day.toordinal() - date(2024, 1, 1).toordinal()) // 7  # a Monday
    if window.unit is PeriodUnit.MONTH:
        return day.year * 12 + day.month - 1
    if window.unit is PeriodUnit.QUARTER:
        return day.year * 4 + (day.month - 1) // 3
    assert window.unit is PeriodUnit.YEAR
    return day.year


def local_date(instant_us: int, zone: str) -> date:
    """Return the date in a zone at an instant."""
    return (_EPOCH + timedelta(microseconds=instant_us)).astimezone(_zone(zone)).date()


_zones: dict[str, ZoneInfo] = {}


def _zone(name: str) -> ZoneInfo:
    if name not in _zones:
        with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
            _zones[name] = ZoneInfo.from_file(file)
    return _zones[name]


def _aggregate(feature: Aggregate, window: Window, person: Person) -> Any:
    return _function(feature, within(window, person))


def _function(feature: Aggregate, events: list[OracleEvent]) -> Any:
    events = matching(feature.events, events)
    if feature.function is Function.COUNT:
        return len(events)
    read = [(e.occurred_at_us, get(e.properties, feature.property)) for e in events]
    valued = [(at_us, normal(value)) for at_us, value in read if kind(value) in SCALARS]
    if feature.function is Function.DISTINCT:
        return len(_counted([value for _, value in valued]))
    if feature.function is Function.FIRST:
        return min(valued, key=lambda v: (v[0], text_of(v[1])))[1] if valued else None
    if feature.function is Function.LAST:
        return max(valued, key=lambda v: (v[0], text_of(v[1])))[1] if valued else None
    numbers = [value for _, value in valued if units_of(value) is not None]
    if feature.function is Function.MIN:
        return min(numbers, default=None)
    if feature.function is Function.MAX:
        return max(numbers, default=None)
    units = [units_of(value) or 0 for value in numbers]
    if feature.function is Function.SUM:
        return number_of(sum(units))
    assert feature.function is Function.MEAN
    return float(Fraction(sum(units), 10**6 * len(units))) if units else None


def _counted(values: list[Any]) -> list[tuple[Any, int]]:
    """Return the values, each once, with their number."""
    texts = Counter(text_of(value) for value in values)
    by_text = {text_of(value): value for value in values}
    return [(by_text[text], number) for text, number in texts.items()]


def _completions(feature: Sequence, person: Person) -> int:
    last = feature.steps[-1].events
    return sum(
        _is_completed(feature, len(feature.steps) - 1, event, event, person.events)
        for event in matching(last, within(feature.window, person))
    )


def _is_completed(
    feature: Sequence, index: int, event: OracleEvent, last: OracleEvent, events: list[OracleEvent]
) -> bool:
    """Return whether an event that matches a step ends a chain of all steps up to this one."""
    if feature.same and not equal(
        get(event.properties, feature.same), get(last.properties, feature.same)
    ):
        return False
    if index == 0:
        return True
    step = feature.steps[index]
    for earlier in matching(feature.steps[index - 1].events, events):
        distance = event.occurred_at_us - earlier.occurred_at_us
        if distance <= 0 or (step.within_us and distance > step.within_us):
            continue
        if step.without is not None and any(
            earlier.occurred_at_us < between.occurred_at_us < event.occurred_at_us
            and is_match(step.without, between)
            for between in events
        ):
            continue
        if _is_completed(feature, index - 1, earlier, last, events):
            return True
    return False


def _trend(feature: Trend, person: Person) -> Any:
    window = feature.aggregate.window
    now = _function(feature.aggregate, within(window, person))
    then = _function(feature.aggregate, before(window, person))
    if now is None or then is None:
        return None
    if feature.measure is TrendMeasure.DIFFERENCE:
        return now - then
    return now / then if then else None


def _date_distance(feature: DateDistance, person: Person) -> int | None:
    stated_zone = trait(Trait("timezone"), person.events)
    zone = stated_zone if _is_zone(stated_zone) else feature.zone
    day = _date(trait(Trait(feature.trait), person.events), zone)
    if day is None:
        return None
    today = local_date(person.now_us, zone)
    if feature.measure is DateMeasure.DAYS_UNTIL:
        return (day - today).days
    if feature.measure is DateMeasure.YEARS_SINCE:
        if day > today:
            return None
        return today.year - day.year - (today < _anniversary(day, today.year))
    assert feature.measure is DateMeasure.DAYS_UNTIL_ANNIVERSARY
    distances = [(_anniversary(day, today.year + more) - today).days for more in (0, 1)]
    return min(distance for distance in distances if distance >= 0)


def _anniversary(day: date, year: int) -> date:
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if (day.month, day.day) == (2, 29) and not is_leap:
        return date(year, 2, 28)
    return date(year, day.month, day.day)


def _date(value: Any, zone: str) -> date | None:
    """Return a date, or the local date of an instant; a time without a zone is a local one."""
    if kind(value) == "number" and 19_000_101 <= value <= 20_991_231 and value == int(value):
        value = str(int(value))
    if not isinstance(value, str):
        return None
    if written := re.fullmatch("([0-9]{4})[年/]([0-9]{1,2})[月/]([0-9]{1,2})日?", value):
        return date(*map(int, written.groups()))
    try:
        if len(value) <= len("2000-02-29"):
            return date.fromisoformat(value)
        instant = datetime.fromisoformat(value)
    except ValueError:
        return None
    return instant.astimezone(_zone(zone)).date() if instant.tzinfo else instant.date()


def _is_zone(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        _zone(value)
    except (OSError, ValueError):
        return False
    return True


def _top(feature: TopValues, person: Person) -> list[Any] | None:
    events = matching(feature.events, within(feature.window, person))
    read = [(e.occurred_at_us, get(e.properties, feature.property)) for e in events]
    valued = [(at_us, normal(value)) for at_us, value in read if kind(value) in SCALARS]
    counted = _counted([value for _, value in valued])

    def rank(entry: tuple[Any, int]) -> tuple[int, int, str]:
        value, number = entry
        last_us = max(at_us for at_us, other in valued if equal(other, value))
        return -number, -last_us, text_of(value)

    return [value for value, _ in sorted(counted, key=rank)][: feature.limit] or None
