"""Evaluates traits that are dates: days until them, anniversaries, and ages."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime, timedelta

from services.kernel.calendar import is_zone, local_date, start_of_date
from services.kernel.cleaning.dates import clean_date
from services.kernel.local_time import LeapDay, anniversary
from services.kernel.rules.features import DateDistance, DateMeasure
from services.kernel.rules.inputs import ZONE_TRAIT
from services.kernel.rules.readings.aggregates import FeatureFn, Reading
from services.kernel.rules.readings.views import ProfileFacts
from services.kernel.rules.values import Json
from services.kernel.time import to_us


def read_date(feature: DateDistance, limit: Json) -> FeatureFn:
    """Return how a date is read. `limit`: the number that it is compared with, or None."""
    level = math.floor(limit) if isinstance(limit, int | float) else 0

    def read(profile: ProfileFacts, as_of_us: int) -> Reading:
        own = profile.trait(ZONE_TRAIT)
        zone: str = own if is_zone(own) and not feature.same_zone else feature.zone
        day = date_of(profile.trait(feature.trait), zone)
        if day is None:
            return Reading(lambda at_us: None, iter(()))
        known = day
        today = local_date(as_of_us, zone)
        turns = (start_of_date(d, zone) for d in _turning_days(feature, known, today, level))
        later = sorted({at_us for at_us in turns if at_us > as_of_us})
        return Reading(lambda at_us: _value(feature, known, local_date(at_us, zone)), iter(later))

    return read


def date_of(value: Json, zone: str) -> date | None:
    """Return the date of a value: of an instant in a zone, or a date as people write it; else None.

    A time without a zone is in this one. `clean_date` reads what is not ISO 8601.
    """
    try:
        stated = datetime.fromisoformat(value.strip() if isinstance(value, str) else "")
    except ValueError:
        written = clean_date(value)
        return None if written is None else date.fromisoformat(written)
    return stated.date() if stated.tzinfo is None else local_date(to_us(stated), zone)


def _value(feature: DateDistance, day: date, today: date) -> int | None:
    match feature.measure:
        case DateMeasure.DAYS_UNTIL:
            return (day - today).days
        case DateMeasure.DAYS_UNTIL_ANNIVERSARY:
            return (_next_anniversary(day, today, feature.leap_day) - today).days
        case DateMeasure.YEARS_SINCE:
            years = today.year - day.year - (today < anniversary(day, today.year))
            return years if day <= today else None


def _next_anniversary(day: date, today: date, leap_day: LeapDay) -> date:
    this_year = anniversary(day, today.year, leap_day)
    return this_year if this_year >= today else anniversary(day, today.year + 1, leap_day)


def _turning_days(feature: DateDistance, day: date, today: date, level: int) -> Iterator[date]:
    """Yield the days after today on which the value may pass `level`, in any order."""
    try:
        yield from _candidates(feature, day, today, level)
    except (OverflowError, ValueError):
        return


def _candidates(feature: DateDistance, day: date, today: date, level: int) -> Iterator[date]:
    match feature.measure:
        case DateMeasure.DAYS_UNTIL:
            yield from (day - timedelta(days=level + n) for n in (1, 0, -1))
        case DateMeasure.DAYS_UNTIL_ANNIVERSARY:
            if not -1 <= level <= 366:
                return
            for year in range(today.year, today.year + 10):
                returns = anniversary(day, year, feature.leap_day)
                yield from (returns - timedelta(days=level + n) for n in (1, 0, -1))
                yield returns + timedelta(days=1)
        case DateMeasure.YEARS_SINCE:
            if day > today:
                yield day
            for years in (level, level + 1):
                if 0 <= years <= 10_000:
                    yield anniversary(day, day.year + years)
