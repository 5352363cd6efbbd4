"""Wall-clock times and windows of the day are exact in every zone, also where clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.kernel.calendar import local_datetime
from services.kernel.errors import RuleError
from services.kernel.local_time import (
    DailyWindow,
    LeapDay,
    ZoneHistory,
    anniversary,
    format_clock,
    instant_of,
    parse_clock,
)
from services.kernel.time import DAY_US, from_us, parse_rfc3339, to_us

WORKDAYS = frozenset(range(5))
DAILY = frozenset(range(7))
NIGHT, DAYTIME = DailyWindow(22 * 60, 8 * 60), DailyWindow(8 * 60, 22 * 60)
MINUTE_US = 60_000_000
#: Zones whose clocks change at unusual times or by unusual steps.
ZONES = (
    *("UTC", "Asia/Shanghai", "Asia/Kathmandu", "Pacific/Chatham", "America/New_York"),
    *("Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "America/Sao_Paulo"),
)


def at(text: str) -> int:
    return parse_rfc3339(text)


@pytest.mark.parametrize(
    ("zone", "since", "clock", "days", "expected"),
    [
        # Friday after 07:00 to Monday.
        ("Asia/Shanghai", "2026-03-06T00:00:00Z", "07:00", WORKDAYS, "2026-03-08T23:00:00Z"),
        # At the very instant.
        ("Asia/Shanghai", "2026-03-05T23:00:00Z", "07:00", WORKDAYS, "2026-03-05T23:00:00Z"),
        ("Asia/Shanghai", "2026-03-05T23:00:00.000001Z", "07:00", DAILY, "2026-03-06T23:00:00Z"),
        ("Asia/Kathmandu", "2026-03-06T02:00:00Z", "07:00", WORKDAYS, "2026-03-09T01:15:00Z"),
        # Chatham: +13:45 in summer, which ends on 5 April 2026.
        ("Pacific/Chatham", "2026-04-03T00:00:00Z", "07:00", WORKDAYS, "2026-04-05T18:15:00Z"),
        # New York, the end of summer time on 1 November: 09:00 stays 09:00.
        ("America/New_York", "2026-10-31T13:00:01Z", "09:00", DAILY, "2026-11-01T14:00:00Z"),
        # … and its begin on 8 March.
        ("America/New_York", "2026-03-07T14:00:01Z", "09:00", DAILY, "2026-03-08T13:00:00Z"),
        # 02:30 does not exist on 8 March: the first instant after the gap, 03:00.
        ("America/New_York", "2026-03-08T00:00:00Z", "02:30", DAILY, "2026-03-08T07:00:00Z"),
        # 01:30 occurs twice on 1 November: the first one.
        ("America/New_York", "2026-11-01T00:00:00Z", "01:30", DAILY, "2026-11-01T05:30:00Z"),
        # … and from the second one on, the one of the next day.
        ("America/New_York", "2026-11-01T05:30:00.000001Z", "01:30", DAILY, "2026-11-02T06:30:00Z"),
        # Lord Howe: clocks go by half an hour; 02:15 does not exist on 4 October, 02:30 does.
        ("Australia/Lord_Howe", "2026-10-03T12:00:00Z", "02:15", DAILY, "2026-10-03T15:30:00Z"),
        # Samoa left out 30 December 2011, a Friday.
        ("Pacific/Apia", "2011-12-30T09:59:59Z", "10:00", DAILY, "2011-12-30T20:00:00Z"),
        ("Pacific/Apia", "2011-12-29T20:00:01Z", "10:00", {4}, "2012-01-05T20:00:00Z"),
        # 29 February is a day like others.
        ("UTC", "2028-02-28T12:00:00Z", "09:00", DAILY, "2028-02-29T09:00:00Z"),
    ],
)
def test_next_clock_is_that_of_a_table(
    zone: str, since: str, clock: str, days: frozenset[int], expected: str
) -> None:
    found = ZoneHistory(zone).next_clock(at(since), parse_clock(clock), days)
    assert from_us(found) == from_us(at(expected))


@pytest.mark.parametrize(
    ("zone", "window", "since", "expected"),
    [
        ("Asia/Shanghai", NIGHT, "2026-03-06T15:00:00Z", "2026-03-07T00:00:00Z"),
        ("Asia/Shanghai", NIGHT, "2026-03-06T13:59:59Z", "2026-03-06T13:59:59Z"),
        ("Asia/Shanghai", NIGHT, "2026-03-06T14:00:00Z", "2026-03-07T00:00:00Z"),
        ("Asia/Shanghai", NIGHT, "2026-03-07T00:00:00Z", "2026-03-07T00:00:00Z"),
        # A window of the day is no window of the night.
        ("Asia/Shanghai", DAYTIME, "2026-03-06T03:00:00Z", "2026-03-06T14:00:00Z"),
        ("Asia/Shanghai", DAYTIME, "2026-03-06T15:00:00Z", "2026-03-06T15:00:00Z"),
        ("America/New_York", NIGHT, "2026-11-01T03:00:00Z", "2026-11-01T13:00:00Z"),
        ("America/New_York", NIGHT, "2026-03-08T03:30:00Z", "2026-03-08T12:00:00Z"),
        # It would end at 02:30, which does not exist: 03:00.
        ("America/New_York", (1320, 150), "2026-03-08T05:00:00Z", "2026-03-08T07:00:00Z"),
        # It ends at 01:30, which occurs twice; between them it is quiet again.
        ("America/New_York", (60, 90), "2026-11-01T05:10:00Z", "2026-11-01T05:30:00Z"),
        ("America/New_York", (60, 90), "2026-11-01T06:10:00Z", "2026-11-01T06:30:00Z"),
        # At 02:00 the clock goes back to 01:00, which the window does not include.
        ("America/New_York", (90, 480), "2026-11-01T05:40:00Z", "2026-11-01T06:00:00Z"),
        ("Australia/Lord_Howe", NIGHT, "2026-10-03T12:00:00Z", "2026-10-03T21:00:00Z"),
        ("Pacific/Apia", NIGHT, "2011-12-30T08:30:00Z", "2011-12-30T18:00:00Z"),
    ],
)
def test_next_open_is_that_of_a_table(
    zone: str, window: DailyWindow | tuple[int, int], since: str, expected: str
) -> None:
    window = window if isinstance(window, DailyWindow) else DailyWindow(*window)
    found = ZoneHistory(zone).next_open(at(since), [window])
    assert found is not None
    assert from_us(found) == from_us(at(expected))


def test_next_clock_of_a_person_who_moves_is_that_of_the_new_zone() -> None:
    since, moved = at("2026-03-06T00:00:00Z"), at("2026-03-06T12:00:00Z")
    # 22:00 in Shanghai is 14:00 UTC, and in New York 03:00 UTC.
    zones = ZoneHistory("Asia/Shanghai", ((moved, "America/New_York"),))
    assert zones.next_clock(since, 22 * 60) == at("2026-03-07T03:00:00Z")
    assert zones.next_clock(since, 18 * 60) == at("2026-03-06T10:00:00Z")


def test_next_clock_of_a_person_whose_clock_passed_it_by_moving_is_that_of_the_next_day() -> None:
    moved = at("2026-03-06T12:00:00Z")
    zones = ZoneHistory("America/New_York", ((moved, "Asia/Shanghai"),))
    # It is 07:00 in New York, and then 20:00 in Shanghai.
    assert zones.next_clock(at("2026-03-06T11:00:00Z"), 8 * 60) == at("2026-03-07T00:00:00Z")


def test_next_open_of_a_person_who_moves_into_the_night_waits_for_its_end() -> None:
    moved = at("2026-03-06T12:30:00Z")
    zones = ZoneHistory("America/New_York", ((moved, "Asia/Shanghai"),))
    # New York opens at 13:00 UTC; by then it is 21:00 in Shanghai.
    assert zones.next_open(at("2026-03-06T12:00:00Z"), [NIGHT]) == moved
    later = [DailyWindow(20 * 60, 8 * 60)]
    assert zones.next_open(at("2026-03-06T12:00:00Z"), later) == at("2026-03-07T00:00:00Z")


def test_next_open_of_windows_that_leave_nothing_is_none() -> None:
    assert ZoneHistory("UTC").next_open(0, [NIGHT, DAYTIME]) is None


def test_next_open_without_windows_is_at_once() -> None:
    assert ZoneHistory("UTC").next_open(17, []) == 17


def test_next_open_of_a_window_with_a_zone_of_its_own_goes_by_it() -> None:
    window = DailyWindow(8 * 60, 22 * 60, "Asia/Shanghai").complement()
    found = ZoneHistory("America/New_York").next_open(at("2026-03-06T15:00:00Z"), [window])
    assert found == at("2026-03-07T00:00:00Z")


@pytest.mark.parametrize(
    ("end", "expected"),
    [("2026-03-10T18:00:00Z", "2026-03-09T10:00:00Z"), ("2026-03-10T01:00:00Z", None)],
)
def test_clock_before_is_on_the_day_before(end: str, expected: str | None) -> None:
    since = at("2026-03-09T09:30:00Z") if expected else at("2026-03-09T10:30:00Z")
    found = ZoneHistory("UTC").clock_before(since, 600, at(end), DAY_US)
    assert found == (at(expected) if expected else since)


def test_clock_before_of_a_person_who_moves_is_that_of_the_new_zone() -> None:
    end, moved = at("2026-03-10T12:00:00Z"), at("2026-03-09T01:00:00Z")
    zones = ZoneHistory("Asia/Shanghai", ((moved, "America/New_York"),))
    # 10:00 of 9 March: 02:00 UTC in Shanghai, but 14:00 UTC in New York.
    assert zones.clock_before(at("2026-03-08T00:00:00Z"), 600, end, DAY_US) == at(
        "2026-03-09T14:00:00Z"
    )


@pytest.mark.parametrize(
    ("day", "year", "leap_day", "expected"),
    [
        (date(2000, 2, 29), 2026, LeapDay.FEB_28, date(2026, 2, 28)),
        (date(2000, 2, 29), 2026, LeapDay.MAR_1, date(2026, 3, 1)),
        (date(2000, 2, 29), 2028, LeapDay.MAR_1, date(2028, 2, 29)),
        (date(1999, 12, 31), 2026, LeapDay.FEB_28, date(2026, 12, 31)),
    ],
)
def test_anniversary_of_a_leap_day_is_as_configured(
    day: date, year: int, leap_day: LeapDay, expected: date
) -> None:
    assert anniversary(day, year, leap_day) == expected


@pytest.mark.parametrize("text", ["9:00", "24:00", "09:60", "0900", "09:00:00", "", "０９:00"])
def test_clock_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time of the day"):
        parse_clock(text)


def test_clock_is_written_as_it_is_read() -> None:
    assert [format_clock(parse_clock(f"{h:02d}:{m:02d}")) for h in (0, 9, 23) for m in (0, 5)] == [
        *("00:00", "00:05", "09:00", "09:05", "23:00", "23:05")
    ]


def test_window_without_hours_is_refused() -> None:
    with pytest.raises(RuleError, match="two different times"):
        DailyWindow(60, 60)
    with pytest.raises(RuleError, match="time zone is not known"):
        DailyWindow(60, 90, "Asia/Beijing")


instants = st.integers(to_us(datetime(2010, 1, 1, tzinfo=UTC)) // MINUTE_US, 30_000_000).map(
    lambda minute: minute * MINUTE_US
)
#: Around the changes of clocks of all zones above.
changes = st.sampled_from(
    [
        *("2026-03-08T07:00:00Z", "2026-11-01T06:00:00Z", "2026-04-04T14:45:00Z"),
        *("2026-10-03T15:30:00Z", "2011-12-30T10:00:00Z", "2018-11-04T03:00:00Z"),
        *("2026-02-15T02:00:00Z", "2026-03-22T02:00:00Z"),
    ]
).flatmap(lambda text: st.integers(-1_500, 1_500).map(lambda m: at(text) + m * MINUTE_US))


@given(st.one_of(instants, changes), st.sampled_from(ZONES), st.integers(0, 1439))
@examples(150)
def test_next_clock_is_the_first_minute_that_shows_it(instant: int, zone: str, minute: int) -> None:
    found = ZoneHistory(zone).next_clock(instant, minute)
    walked = instant
    while walked < found:
        local = local_datetime(walked, zone)
        shows = local.hour * 60 + local.minute == minute
        # The second occurrence of a time does not count.
        assert not shows or local.fold == 1
        walked += MINUTE_US
    local, before = local_datetime(found, zone), local_datetime(found - MINUTE_US, zone)
    shown = local.hour * 60 + local.minute
    if shown != minute:  # the clock went over it
        gap = local.replace(tzinfo=None) - before.replace(tzinfo=None)
        assert gap > timedelta(minutes=1)


@given(
    st.one_of(instants, changes), st.sampled_from(ZONES), st.integers(0, 1439), st.integers(0, 1439)
)
@examples(150)
def test_next_open_is_the_first_minute_outside(
    instant: int, zone: str, start: int, end: int
) -> None:
    if start == end:
        end = (end + 1) % 1440
    window = DailyWindow(start, end)
    found = ZoneHistory(zone).next_open(instant, [window])
    walked = instant
    while window.contains(walked, zone):
        walked += MINUTE_US
    assert found == walked


@given(st.dates(date(2010, 1, 1), date(2040, 1, 1)), st.integers(0, 1439), st.sampled_from(ZONES))
@examples(200)
def test_instant_of_shows_the_time_or_follows_a_gap(day: date, minute: int, zone: str) -> None:
    instant = instant_of(day, minute, zone)
    local = local_datetime(instant, zone).replace(tzinfo=None)
    wanted = datetime(day.year, day.month, day.day, minute // 60, minute % 60)
    assert local == wanted or (
        local > wanted > local_datetime(instant - 1, zone).replace(tzinfo=None)
    )
