"""Tests when limits pass: hours and days of service, holidays, pauses, changes of clocks."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.desk.model import DeskQueue, OpeningHours
from services.kernel.desk.service_time import RunningSpan, limit_passed_us
from services.kernel.time import HOUR_US, to_us

SHANGHAI, NEW_YORK = "Asia/Shanghai", "America/New_York"
OFFICE = OpeningHours(9 * 60, 18 * 60, frozenset(range(5)))
HOLIDAYS = OpeningHours(
    9 * 60,
    18 * 60,
    frozenset(range(5)),
    closed=("2026-10-01", "2026-10-02"),
    also_open=("2026-10-03",),
)
NIGHT = OpeningHours(22 * 60, 6 * 60)
DAY = 24 * HOUR_US


def at(text: str, zone: str = SHANGHAI) -> int:
    """Return the instant of a local time such as `2026-03-02 09:00`."""
    return to_us(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


@pytest.mark.parametrize(
    ("hours", "zone", "opened", "span_us", "due"),
    [
        (None, SHANGHAI, "2026-03-02 23:00", 4 * HOUR_US, "2026-03-03 03:00"),
        # 2026-03-02 is a Monday.
        (OFFICE, SHANGHAI, "2026-03-02 10:00", 4 * HOUR_US, "2026-03-02 14:00"),
        (OFFICE, SHANGHAI, "2026-03-02 16:00", 4 * HOUR_US, "2026-03-03 11:00"),
        (OFFICE, SHANGHAI, "2026-03-06 17:00", 4 * HOUR_US, "2026-03-09 12:00"),
        (OFFICE, SHANGHAI, "2026-03-07 12:00", 4 * HOUR_US, "2026-03-09 13:00"),
        # A day is a day of service: the same clock on the next one but one.
        (OFFICE, SHANGHAI, "2026-03-05 10:00", 2 * DAY, "2026-03-09 10:00"),
        # Two holidays, and a Saturday on which people work in their place.
        (HOLIDAYS, SHANGHAI, "2026-09-30 16:00", 4 * HOUR_US, "2026-10-03 11:00"),
        (HOLIDAYS, SHANGHAI, "2026-09-30 10:00", 2 * DAY, "2026-10-05 10:00"),
        (NIGHT, SHANGHAI, "2026-03-02 23:00", 8 * HOUR_US, "2026-03-03 23:00"),
        (NIGHT, SHANGHAI, "2026-03-02 03:00", 4 * HOUR_US, "2026-03-02 23:00"),
        # Clocks go forward at 02:00 on 2026-03-08 and back on 2026-11-01.
        (NIGHT, NEW_YORK, "2026-03-07 22:00", 7 * HOUR_US, "2026-03-08 22:00"),
        (NIGHT, NEW_YORK, "2026-10-31 22:00", 8 * HOUR_US, "2026-11-01 05:00"),
    ],
)  # fmt: skip
def test_limit_passes_after_its_time_of_service(
    hours: OpeningHours | None, zone: str, opened: str, span_us: int, due: str
) -> None:
    queue = DeskQueue("q", zone=zone, hours=hours)
    expected = at(due, zone)
    if due == "2026-03-08 22:00":
        # The night had 7 hours, so the limit passes with the first instant after it.
        assert limit_passed_us(queue, [RunningSpan(at(opened, zone), expected)], span_us) is None
    assert limit_passed_us(queue, [RunningSpan(at(opened, zone), None)], span_us) == expected


def test_limit_does_not_pass_in_the_time_in_which_its_clock_stands() -> None:
    queue = DeskQueue("q", zone=SHANGHAI, hours=OFFICE)
    running = [
        RunningSpan(at("2026-03-02 10:00"), at("2026-03-02 12:00")),
        RunningSpan(at("2026-03-04 17:00"), None),
    ]
    assert limit_passed_us(queue, running, 4 * HOUR_US) == at("2026-03-05 10:00")


def test_limit_that_ends_at_its_very_instant_is_in_time() -> None:
    queue = DeskQueue("q")
    assert limit_passed_us(queue, [RunningSpan(0, HOUR_US)], HOUR_US) is None
    assert limit_passed_us(queue, [RunningSpan(0, HOUR_US + 1)], HOUR_US) == HOUR_US


@given(
    cuts=st.lists(st.integers(0, 60 * 24), unique=True, max_size=6),
    hours=st.sampled_from([None, OFFICE, HOLIDAYS, NIGHT]),
    span_h=st.integers(1, 60),
)
def test_limit_passes_when_the_sum_of_its_parts_has(
    cuts: list[int], hours: OpeningHours | None, span_h: int
) -> None:
    """Cutting a running time into parts without a gap changes nothing."""
    queue = DeskQueue("q", zone=SHANGHAI, hours=hours)
    start = at("2026-09-28 08:00")
    instants = [start + cut * HOUR_US for cut in sorted(cuts)]
    whole = limit_passed_us(queue, [RunningSpan(start, None)], span_h * HOUR_US)
    bounds = [start, *instants, None]
    parts = [
        RunningSpan(from_us, to_us)
        for from_us, to_us in pairwise(bounds)
        if from_us is not None and from_us != to_us
    ]
    assert limit_passed_us(queue, parts, span_h * HOUR_US) == whole
