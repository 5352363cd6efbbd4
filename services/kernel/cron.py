"""Reads schedules of five fields, as cron has them, and computes their instants in a zone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from services.kernel.calendar import local_date
from services.kernel.errors import RuleError
from services.kernel.local_time import WEEKDAYS, exists, instant_of

_MONTHS: Final = (
    *("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
)
#: Sunday is 0 and 7, as cron counts.
_SUNDAY_FIRST: Final = (WEEKDAYS[6], *WEEKDAYS[:6])
_PART: Final = re.compile(r"(?:\*|([0-9a-z]{1,3})(?:-([0-9a-z]{1,3}))?)(?:/([0-9]{1,2}))?")
#: The most days of a month.
_LONGEST: Final = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
#: Leap years are at most eight years apart.
_MOST_DAYS: Final = 366 * 8 + 2


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    least: int
    most: int
    #: Words for the numbers from `least` up.
    words: tuple[str, ...] = ()


_FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 7, _SUNDAY_FIRST),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """The minutes at which something happens again and again."""

    #: Minutes of the day, ascending.
    minutes: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    #: Monday = 0.
    weekdays: frozenset[int]
    #: Whether the day of the month, or that of the week, alone decides: where both are restricted,
    #: one of them is enough.
    is_either: bool

    def includes(self, day: date) -> bool:
        """Return whether a date is one of the schedule."""
        of_month, of_week = day.day in self.days, day.weekday() in self.weekdays
        return day.month in self.months and (
            of_month or of_week if self.is_either else of_month and of_week
        )

    def next_after(self, instant_us: int, zone: str) -> int:
        """Return the first instant of the schedule after an instant (Unix microseconds).

        A time that does not exist in the zone means the first instant after the gap, one that
        occurs twice the first occurrence, and a day that the zone leaves out is left out.
        """
        day = local_date(instant_us, zone) - timedelta(days=1)
        for _ in range(_MOST_DAYS):
            if self.includes(day) and exists(day, zone):
                for found in self._instants(day, zone):
                    if found > instant_us:
                        return found
            day += timedelta(days=1)
        raise AssertionError("a schedule has a day in eight years")

    def _instants(self, day: date, zone: str) -> Iterator[int]:
        return (instant_of(day, minute, zone) for minute in self.minutes)


def parse_cron(text: str) -> Cron:
    """Return the schedule of a text such as `0 10 * * mon-fri`. Raises RuleError."""
    parts = text.lower().split()
    if len(parts) != len(_FIELDS):
        remedy = "write minute, hour, day, month and weekday, such as `0 10 * * 1`"
        raise RuleError("a schedule has five fields", remedy)
    minutes, hours, days, months, weekdays = (
        _numbers(part, field) for part, field in zip(parts, _FIELDS, strict=True)
    )
    possible = {month for month in months if min(days) <= _LONGEST.get(month, 31)}
    is_either = not parts[2].startswith("*") and not parts[4].startswith("*")
    if not possible and not is_either:
        raise RuleError("no month has this day", "write a day that one of the months has")
    return Cron(
        tuple(sorted(hour * 60 + minute for hour in hours for minute in minutes)),
        frozenset(days),
        frozenset(months),
        frozenset((day - 1) % 7 for day in weekdays),
        is_either,
    )


def _numbers(text: str, field: _Field) -> set[int]:
    """Return the numbers of a field: `*`, `1`, `1-5`, `*/15`, `mon,wed`. Raises RuleError."""
    numbers: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        first = field.least if match is None or match[1] is None else _number(match[1], field)
        last = first if match is not None and match[1] and not match[3] else field.most
        if match is not None and match[2]:
            last = _number(match[2], field)
        step = int(match[3]) if match is not None and match[3] else 1
        if match is None or not field.least <= first <= last <= field.most or not step:
            remedy = f"write {field.least} to {field.most}, `*`, `1-5`, `*/15` or `1,15`"
            raise RuleError(f"this is no {field.name} of a schedule", remedy)
        numbers.update(range(first, last + 1, step))
    return numbers


def _number(text: str, field: _Field) -> int:
    if text in field.words:
        return field.words.index(text) + field.least
    return int(text) if text.isdigit() else -1
