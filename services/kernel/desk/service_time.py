"""Computes when limits pass that count the time of service alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import Final, NamedTuple

from services.kernel.calendar import local_date
from services.kernel.desk.model import DeskQueue, OpeningHours
from services.kernel.local_time import DAY_MINUTES, instant_of
from services.kernel.time import DAY_US, MINUTE_US

#: A limit that is farther away than so many days is not computed.
MAX_DAYS: Final = 3_660


class RunningSpan(NamedTuple):
    """A time in which the clock of a limit runs, Unix microseconds."""

    from_us: int
    #: None = it has no end yet.
    to_us: int | None


def limit_passed_us(queue: DeskQueue, running: Iterable[RunningSpan], span_us: int) -> int | None:
    """Return when a span of service has passed in the running times; None = it has not.

    `running`: ascending. The end of a time belongs to it no more: what ends at the very instant at
    which the span has passed is in time.
    """
    left_us = service_us(queue.hours, span_us)
    for own in running:
        for from_us, to_us in _open_spans(queue, own):
            if to_us is None or to_us - from_us > left_us:
                return from_us + left_us
            left_us -= to_us - from_us
    return None


def service_us(hours: OpeningHours | None, span_us: int) -> int:
    """Return a span in microseconds of service: each whole day of it is a day of service."""
    if hours is None:
        return span_us
    days, rest_us = divmod(span_us, DAY_US)
    return days * _minutes(hours) * MINUTE_US + rest_us


def is_service_day(hours: OpeningHours, day: date) -> bool:
    """Return whether there is service on a date."""
    iso = day.isoformat()
    if iso in hours.closed:
        return False
    return day.weekday() in hours.days or iso in hours.also_open


def _minutes(hours: OpeningHours) -> int:
    """Return how many minutes a day of service has."""
    minutes = hours.to_minute - hours.from_minute
    return minutes if minutes > 0 else minutes + DAY_MINUTES


def _open_spans(queue: DeskQueue, running: RunningSpan) -> Iterator[RunningSpan]:
    """Yield the times of service within a running time, ascending."""
    hours, zone = queue.hours, queue.zone
    if hours is None:
        yield running
        return
    # The service of the day before may last past midnight.
    day = local_date(running.from_us, queue.zone) - timedelta(days=1)
    for _ in range(MAX_DAYS):
        if is_service_day(hours, day):
            last = day if hours.to_minute > hours.from_minute else day + timedelta(days=1)
            from_us = max(instant_of(day, hours.from_minute, zone), running.from_us)
            to_us = instant_of(last, hours.to_minute, zone)
            if running.to_us is not None:
                if from_us >= running.to_us:
                    return
                to_us = min(to_us, running.to_us)
            if from_us < to_us:
                yield RunningSpan(from_us, to_us)
        day += timedelta(days=1)
