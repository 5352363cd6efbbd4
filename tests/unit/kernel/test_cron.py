"""Schedules of five fields have the instants of a table, in every zone."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.kernel.cron import parse_cron
from services.kernel.errors import RuleError
from services.kernel.time import from_us, parse_rfc3339, to_us


@pytest.mark.parametrize(
    ("cron", "zone", "since", "expected"),
    [
        ("0 10 * * 1", "UTC", "2026-03-06T00:00:00Z", "2026-03-09T10:00:00Z"),
        ("0 10 * * mon", "Asia/Shanghai", "2026-03-06T00:00:00Z", "2026-03-09T02:00:00Z"),
        ("0 10 * * 1", "UTC", "2026-03-09T10:00:00Z", "2026-03-16T10:00:00Z"),
        ("0 10 * * 0", "UTC", "2026-03-06T00:00:00Z", "2026-03-08T10:00:00Z"),
        ("0 10 * * 7", "UTC", "2026-03-06T00:00:00Z", "2026-03-08T10:00:00Z"),
        ("*/15 8-9 * * *", "UTC", "2026-03-06T08:30:00Z", "2026-03-06T08:45:00Z"),
        ("*/15 8-9 * * *", "UTC", "2026-03-06T09:45:00Z", "2026-03-07T08:00:00Z"),
        ("0 9 31 * *", "UTC", "2026-03-31T09:00:00Z", "2026-05-31T09:00:00Z"),
        ("0 9 29 2 *", "UTC", "2026-03-01T00:00:00Z", "2028-02-29T09:00:00Z"),
        ("0 9 1,15 * *", "UTC", "2026-03-01T09:00:00Z", "2026-03-15T09:00:00Z"),
        # The day of the month or that of the week, where both are restricted.
        ("0 9 13 * fri", "UTC", "2026-03-09T00:00:00Z", "2026-03-13T09:00:00Z"),
        ("0 9 15 * fri", "UTC", "2026-03-13T09:00:00Z", "2026-03-15T09:00:00Z"),
        ("0 9 * jan-mar *", "UTC", "2026-03-31T09:00:00Z", "2027-01-01T09:00:00Z"),
        # 02:30 does not exist on 8 March: the first instant after the gap, once.
        ("30 2 * * *", "America/New_York", "2026-03-08T00:00:00Z", "2026-03-08T07:00:00Z"),
        ("*/10 2 * * *", "America/New_York", "2026-03-08T07:00:00Z", "2026-03-09T06:00:00Z"),
        # 01:30 occurs twice on 1 November: the first one.
        ("30 1 * * *", "America/New_York", "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"),
        # Samoa left out 30 December 2011.
        ("0 10 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", "2012-12-29T20:00:00Z"),
    ],
)
def test_next_after_is_that_of_a_table(cron: str, zone: str, since: str, expected: str) -> None:
    found = parse_cron(cron).next_after(parse_rfc3339(since), zone)
    assert from_us(found) == from_us(parse_rfc3339(expected))


@pytest.mark.parametrize(
    "text",
    [
        *("", "0 10 * *", "0 10 * * * *", "60 10 * * *", "0 24 * * *", "0 10 0 * *"),
        *("0 10 * 13 *", "0 10 * * 8", "0 10 * * foo", "5-1 10 * * *", "*/0 10 * * *"),
        *("0 10 30 2 *", "0 10 31 4,6 *", "0 10 * * mon-", "-1 10 * * *", "0 10 ? * *"),
    ],
)
def test_schedule_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(RuleError, match="write"):
        parse_cron(text)


@given(
    st.sampled_from(["*/7 * * * *", "0,30 9-17 * * mon-fri", "5 4 1-7 * sun", "0 0 */10 */2 *"]),
    st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1)),
)
@examples(60)
def test_next_after_is_the_first_minute_of_the_schedule(text: str, since: datetime) -> None:
    cron = parse_cron(text)
    zone = ZoneInfo("Asia/Shanghai")
    instant = to_us(since.replace(tzinfo=zone))
    found = from_us(cron.next_after(instant, "Asia/Shanghai")).astimezone(zone)
    assert cron.includes(found.date())
    assert found.hour * 60 + found.minute in cron.minutes
    assert (found.second, found.microsecond) == (0, 0)
    # No minute between is one of the schedule.
    minute = since.replace(tzinfo=zone, second=0, microsecond=0) + timedelta(minutes=1)
    steps = 0
    while minute < found and steps < 5_000:
        shown = minute.hour * 60 + minute.minute
        assert not (cron.includes(minute.date()) and shown in cron.minutes)
        minute += timedelta(minutes=1)
        steps += 1
