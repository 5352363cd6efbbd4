"""Computes calendar periods and local dates in time zones, from a pinned zone database.

Zones come from the `tzdata` package alone, so every machine computes the same boundaries.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from services.kernel.time import from_us, to_us

#: The zone of a workspace that defines none.
DEFAULT_ZONE = "UTC"
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,31}(/[A-Za-z0-9_+-]{1,31}){0,2}")
#: Periods outside of these dates start on the nearest one.
_FIRST_DATE, _LAST_DATE = date(1, 1, 3), date(9999, 12, 29)
#: Instants outside of these, whose dates in all zones are between those above, have the periods of
#: the nearest one.
_FIRST_US = to_us(datetime(1, 1, 4, tzinfo=UTC))
_LAST_US = to_us(datetime(9999, 12, 28, tzinfo=UTC))


class PeriodUnit(Enum):
    """A calendar period; its value is the word in a rule. Weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


def check_zone(name: str) -> None:
    """Check that a text is the IANA name of a time zone. Raises ValueError."""
    zone_info(name)


def is_zone(name: object) -> bool:
    """Return whether a value is the IANA name of a time zone."""
    if not isinstance(name, str):
        return False
    try:
        zone_info(name)
    except ValueError:
        return False
    return True


def local_date(instant_us: int, zone: str) -> date:
    """Return the date in a zone at an instant (Unix microseconds)."""
    return local_datetime(instant_us, zone).date()


def local_datetime(instant_us: int, zone: str) -> datetime:
    """Return the wall-clock time in a zone at an instant (Unix microseconds)."""
    return from_us(min(max(instant_us, _FIRST_US), _LAST_US)).astimezone(zone_info(zone))


def start_of_date(day: date, zone: str) -> int:
    """Return the instant (Unix microseconds) at which a date begins in a zone."""
    return _start(day, zone)


def period_start(instant_us: int, unit: PeriodUnit, back: int, zone: str) -> int:
    """Return the start of the period that is `back` periods before the one with the instant.

    A negative `back` is a later period. Instants are Unix microseconds.
    """
    first = _shifted(_first_day(local_date(instant_us, zone), unit), unit, -back)
    return _start(min(max(first, _FIRST_DATE), _LAST_DATE), zone)


@lru_cache(maxsize=4_096)
def _start(day: date, zone: str) -> int:
    """Return the first instant of a day; where midnight does not exist, the one after the gap."""
    return to_us(datetime(day.year, day.month, day.day, tzinfo=zone_info(zone)))


def _first_day(day: date, unit: PeriodUnit) -> date:
    match unit:
        case PeriodUnit.DAY:
            return day
        case PeriodUnit.WEEK:
            return day - timedelta(days=day.weekday())
        case PeriodUnit.MONTH:
            return day.replace(day=1)
        case PeriodUnit.QUARTER:
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case PeriodUnit.YEAR:
            return day.replace(month=1, day=1)


def _shifted(first: date, unit: PeriodUnit, periods: int) -> date:
    """Return the first day of a later period; the first or last date there is beyond them."""
    try:
        match unit:
            case PeriodUnit.DAY:
                return first + timedelta(days=periods)
            case PeriodUnit.WEEK:
                return first + timedelta(weeks=periods)
            case PeriodUnit.MONTH:
                months = first.year * 12 + first.month - 1 + periods
            case PeriodUnit.QUARTER:
                months = first.year * 12 + first.month - 1 + 3 * periods
            case PeriodUnit.YEAR:
                months = first.year * 12 + 12 * periods
        return date(months // 12, months % 12 + 1, 1)
    except (OverflowError, ValueError):
        return date.min if periods < 0 else date.max


@lru_cache(maxsize=1_024)
def zone_info(name: str) -> ZoneInfo:
    """Return a zone by its IANA name. Raises ValueError."""
    if _ZONE.fullmatch(name) is None:
        raise ValueError("this is no name of a time zone")
    path = files("tzdata").joinpath("zoneinfo", *name.split("/"))
    if not path.is_file():
        raise ValueError("this time zone is not known")
    with path.open("rb") as file:
        try:
            return ZoneInfo.from_file(file, key=name)
        except ValueError:  # a table beside the zones
            raise ValueError("this time zone is not known") from None
