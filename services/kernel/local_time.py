"""Computes instants from wall-clock times in time zones, and windows of the day.

A wall-clock time that does not exist, as clocks go forward, means the first instant after the gap;
one that occurs twice means the first occurrence.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum

from services.kernel.calendar import local_date, local_datetime, zone_info
from services.kernel.errors import RuleError
from services.kernel.rules.names import check_zone_name
from services.kernel.time import DAY_US, HOUR_US, SECOND_US, to_us

#: Minutes of a day.
DAY_MINUTES = 24 * 60
#: Monday to Sunday, as `date.weekday` counts.
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVERY_DAY = frozenset(range(7))
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
#: No two changes of a zone's clock are nearer to each other.
_SAMPLE_US = 6 * HOUR_US
#: Windows that leave no open instant within so many changes never do.
_MAX_MOVES = 100


class LeapDay(Enum):
    """The anniversary of 29 February in other years; the value is the word in a journey."""

    FEB_28 = "feb28"
    MAR_1 = "mar1"


@dataclass(frozen=True, slots=True)
class DailyWindow:
    """The times of every day from one minute to just before another; past midnight if it is less.

    `zone`: where its clock stands; empty = in the zone of the person.
    """

    from_minute: int
    to_minute: int
    zone: str = ""

    def __post_init__(self) -> None:
        if self.from_minute == self.to_minute:
            raise RuleError("the hours begin when they end", "write two different times")
        if self.zone:
            check_zone_name("zone", self.zone)

    def complement(self) -> DailyWindow:
        """Return the window of all other times."""
        return DailyWindow(self.to_minute, self.from_minute, self.zone)

    def contains(self, instant_us: int, zone: str) -> bool:
        """Return whether the window includes an instant (Unix microseconds)."""
        local = local_datetime(instant_us, self.zone or zone)
        minute = local.hour * 60 + local.minute
        if self.from_minute < self.to_minute:
            return self.from_minute <= minute < self.to_minute
        return minute >= self.from_minute or minute < self.to_minute

    def end_after(self, instant_us: int, zone: str) -> int:
        """Return the first instant from `instant_us` on that the window does not include."""
        if not self.contains(instant_us, zone):
            return instant_us
        own = self.zone or zone
        day = local_date(instant_us, own)
        ends = {
            end
            for days in range(-1, 4)
            for end in _instants(day + timedelta(days=days), self.to_minute, own)
        }
        ends.update(_changes(own, instant_us, max(ends)))
        return min(u for u in ends if u >= instant_us and not self.contains(u, own))


@dataclass(frozen=True, slots=True)
class ZoneHistory:
    """The zone of a person over time: a later zone counts from an instant on."""

    #: The zone before the first change.
    first: str
    #: Instants (Unix microseconds, ascending) and the zones that count from them on.
    changes: tuple[tuple[int, str], ...] = ()

    def at(self, instant_us: int) -> str:
        """Return the zone at an instant."""
        index = bisect_right([since for since, _ in self.changes], instant_us)
        return self.changes[index - 1][1] if index else self.first

    def _spans(self, instant_us: int) -> Iterator[tuple[int, int | None, str]]:
        """Yield from when, until when and which zone counts, from an instant on."""
        if not self.changes:  # the usual case
            yield instant_us, None, self.first
            return
        starts = [instant_us, *(since for since, _ in self.changes if since > instant_us)]
        for start, end in zip(starts, [*starts[1:], None], strict=True):
            yield start, end, self.at(start)

    def next_clock(self, instant_us: int, minute: int, days: Collection[int] = EVERY_DAY) -> int:
        """Return the first instant from `instant_us` on at which the person's clock shows a time.

        `minute`: of the day. `days`: the days of the week, Monday = 0; at least one.
        """
        for start, end, zone in self._spans(instant_us):
            found = _next_clock(start, minute, days, zone)
            if end is None or found < end:
                return found
        raise AssertionError("the last span has no end")

    def clock_on(self, day: date, minute: int) -> int:
        """Return the first instant at which the person's clock has reached a time on a day."""
        long_before_us = to_us(datetime(day.year, day.month, day.day, tzinfo=UTC)) - 3 * DAY_US
        for start, end, zone in self._spans(long_before_us):
            found = max(start, instant_of(day, minute, zone))
            if end is None or found < end:
                return found
        raise AssertionError("the last span has no end")

    def clock_before(self, instant_us: int, minute: int, end_us: int, before_us: int) -> int:
        """Return the first instant from `instant_us` on at which the person's clock has reached a
        time on the day that is some whole days before the day of `end_us`.
        """
        for start, end, zone in self._spans(instant_us):
            day = local_date(end_us, zone) - timedelta(microseconds=before_us)
            found = max(start, instant_of(day, minute, zone))
            if end is None or found < end:
                return found
        raise AssertionError("the last span has no end")

    def next_open(self, instant_us: int, closed: Iterable[DailyWindow]) -> int | None:
        """Return the first instant from `instant_us` on that no window includes.

        None if the windows together include every time.
        """
        windows = tuple(closed)
        for start, end, zone in self._spans(instant_us):
            found = _next_open(start, windows, zone)
            if end is None or (found is not None and found < end):
                return found
        raise AssertionError("the last span has no end")


def parse_clock(text: str) -> int:
    """Return the minute of the day of a text such as `09:30`. Raises ValueError."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise ValueError("this is no time of the day")
    return int(match[1]) * 60 + int(match[2])


def format_clock(minute: int) -> str:
    """Return the text of a minute of the day, such as `09:30`."""
    return f"{minute // 60:02d}:{minute % 60:02d}"


def instant_of(day: date, minute: int, zone: str) -> int:
    """Return the instant (Unix microseconds) at which a clock of a zone shows a time on a day."""
    return _instants(day, minute, zone)[0]


def anniversary(day: date, year: int, leap_day: LeapDay = LeapDay.FEB_28) -> date:
    """Return the day on which a date returns in a year. Raises ValueError beyond the year 9999."""
    try:
        return day.replace(year=year)
    except ValueError:  # 29 February, or a year that no date has
        return date(year, 2, 28) if leap_day is LeapDay.FEB_28 else date(year, 3, 1)


def exists(day: date, zone: str) -> bool:
    """Return whether a date has any time in a zone; some have left out a day."""
    return local_date(instant_of(day, 0, zone), zone) == day


def _next_clock(instant_us: int, minute: int, days: Collection[int], zone: str) -> int:
    day = local_date(instant_us, zone) - timedelta(days=1)
    while True:
        if day.weekday() in days and exists(day, zone):
            found = instant_of(day, minute, zone)
            if found >= instant_us:
                return found
        day += timedelta(days=1)


def _next_open(instant_us: int, windows: tuple[DailyWindow, ...], zone: str) -> int | None:
    for _ in range(_MAX_MOVES):
        moved = instant_us
        for window in windows:
            moved = window.end_after(moved, zone)
        if moved == instant_us:
            return moved
        instant_us = moved
    return None


def _instants(day: date, minute: int, zone: str) -> tuple[int, ...]:
    """Return the instants of a wall-clock time: one, or two ascending if it occurs twice."""
    wall = datetime(day.year, day.month, day.day, minute // 60, minute % 60)
    first, second = (to_us(wall.replace(tzinfo=zone_info(zone), fold=fold)) for fold in (0, 1))
    if first > second:  # the time does not exist: `second` is before the gap, `first` after it
        return (_change(zone, second, first),)
    return (first,) if first == second else (first, second)


def _changes(zone: str, from_us: int, to_us_: int) -> Iterator[int]:
    """Yield the instants in a range at which the offset of a zone changes."""
    before = from_us
    while before < to_us_:
        after = before + _SAMPLE_US
        if _offset(zone, before) != _offset(zone, after):
            yield _change(zone, before, after)
        before = after


def _change(zone: str, before: int, after: int) -> int:
    """Return the instant in (before, after] from which on the offset is that of `after`."""
    offset = _offset(zone, after)
    low, high = before // SECOND_US, -(-after // SECOND_US)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, middle * SECOND_US) == offset:
            high = middle
        else:
            low = middle
    return high * SECOND_US


def _offset(zone: str, instant_us: int) -> timedelta:
    offset = local_datetime(instant_us, zone).utcoffset()
    if offset is None:
        raise AssertionError("a zone has an offset at every instant")
    return offset
