"""Tests calendar periods and local dates in time zones."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.kernel.calendar import (
    PeriodUnit,
    check_zone,
    is_zone,
    local_date,
    period_start,
    start_of_date,
)
from services.kernel.time import DAY_US, HOUR_US, from_us, to_us

SHANGHAI = "Asia/Shanghai"
NEW_YORK = "America/New_York"
#: Clocks go forward at midnight, so some days begin at 01:00.
SAO_PAULO = "America/Sao_Paulo"
BEIRUT = "Asia/Beirut"
#: 30 December 2011 does not exist here.
APIA = "Pacific/Apia"
#: Clocks go forward by half an hour.
LORD_HOWE = "Australia/Lord_Howe"
ZONES = (SHANGHAI, NEW_YORK, SAO_PAULO, BEIRUT, APIA, LORD_HOWE, "UTC", "Asia/Kathmandu")
#: The first and the last instant that have periods of their own.
FIRST_US, LAST_US = to_us(datetime(1, 1, 4, tzinfo=UTC)), to_us(datetime(9999, 12, 28, tzinfo=UTC))

zones = st.sampled_from(ZONES)
units = st.sampled_from(PeriodUnit)
recent = st.integers(
    to_us(datetime(1900, 1, 1, tzinfo=UTC)), to_us(datetime(2100, 1, 1, tzinfo=UTC))
)
instants = recent | st.integers(FIRST_US, LAST_US)


def us(text: str) -> int:
    return to_us(datetime.fromisoformat(text))


@pytest.mark.parametrize(
    ("unit", "back", "start"),
    [
        (PeriodUnit.DAY, 0, "2026-11-27"),
        (PeriodUnit.DAY, 27, "2026-10-31"),
        (PeriodUnit.DAY, -5, "2026-12-02"),
        (PeriodUnit.WEEK, 0, "2026-11-23"),
        (PeriodUnit.WEEK, 47, "2025-12-29"),
        (PeriodUnit.WEEK, -6, "2027-01-04"),
        (PeriodUnit.MONTH, 0, "2026-11-01"),
        (PeriodUnit.MONTH, 11, "2025-12-01"),
        (PeriodUnit.MONTH, -2, "2027-01-01"),
        (PeriodUnit.MONTH, 1_200, "1926-11-01"),
        (PeriodUnit.QUARTER, 0, "2026-10-01"),
        (PeriodUnit.QUARTER, 3, "2026-01-01"),
        (PeriodUnit.QUARTER, 4, "2025-10-01"),
        (PeriodUnit.QUARTER, -1, "2027-01-01"),
        (PeriodUnit.YEAR, 0, "2026-01-01"),
        (PeriodUnit.YEAR, 2, "2024-01-01"),
        (PeriodUnit.YEAR, -1, "2027-01-01"),
    ],
)
def test_a_period_starts_at_the_first_instant_of_its_first_day(
    unit: PeriodUnit, back: int, start: str
) -> None:
    instant = us("2026-11-27T05:30:00+08:00")
    assert period_start(instant, unit, back, SHANGHAI) == us(f"{start}T00:00:00+08:00")
    assert period_start(instant, unit, back, SHANGHAI) == start_of_date(
        date.fromisoformat(start), SHANGHAI
    )


@pytest.mark.parametrize(
    ("instant", "start"),
    [
        ("2027-01-03T23:59:59.999999+08:00", "2026-12-28T00:00:00+08:00"),
        ("2027-01-01T00:00:00+08:00", "2026-12-28T00:00:00+08:00"),
        ("2027-01-04T00:00:00+08:00", "2027-01-04T00:00:00+08:00"),
        ("2024-12-31T12:00:00+08:00", "2024-12-30T00:00:00+08:00"),
    ],
)
def test_a_week_across_the_years_starts_on_its_monday(instant: str, start: str) -> None:
    assert period_start(us(instant), PeriodUnit.WEEK, 0, SHANGHAI) == us(start)


@pytest.mark.parametrize(
    ("month", "first"), [(1, 1), (3, 1), (4, 4), (6, 4), (7, 7), (9, 7), (10, 10), (12, 10)]
)
def test_a_month_is_in_the_quarter_that_starts_at_or_before_it(month: int, first: int) -> None:
    instant = to_us(datetime(2026, month, 15, tzinfo=UTC))
    expected = to_us(datetime(2026, first, 1, tzinfo=UTC))
    assert period_start(instant, PeriodUnit.QUARTER, 0, "UTC") == expected


def test_an_instant_is_in_different_periods_of_different_zones() -> None:
    instant = us("2026-12-31T20:00:00+00:00")
    assert local_date(instant, "UTC") == date(2026, 12, 31)
    assert local_date(instant, SHANGHAI) == date(2027, 1, 1)
    assert period_start(instant, PeriodUnit.YEAR, 0, "UTC") == us("2026-01-01T00:00:00+00:00")
    assert period_start(instant, PeriodUnit.YEAR, 0, SHANGHAI) == us("2027-01-01T00:00:00+08:00")


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        (NEW_YORK, date(2026, 3, 8), 23),
        (NEW_YORK, date(2026, 11, 1), 25),
        (LORD_HOWE, date(2026, 4, 5), 24.5),
        (SAO_PAULO, date(2018, 11, 4), 23),
        (SAO_PAULO, date(2018, 2, 17), 25),
        (SHANGHAI, date(2026, 3, 8), 24),
        (SHANGHAI, date(1986, 5, 4), 23),
    ],
)
def test_a_day_on_which_clocks_change_has_its_true_length(
    zone: str, day: date, hours: float
) -> None:
    start = start_of_date(day, zone)
    end = period_start(start, PeriodUnit.DAY, -1, zone)
    assert end - start == hours * HOUR_US
    assert end == start_of_date(day + timedelta(days=1), zone)


@pytest.mark.parametrize(
    ("zone", "day", "start"),
    [
        (SAO_PAULO, date(2018, 11, 4), "2018-11-04T01:00:00-02:00"),
        (BEIRUT, date(2026, 3, 29), "2026-03-29T01:00:00+03:00"),
        ("America/Havana", date(2026, 3, 8), "2026-03-08T01:00:00-04:00"),
    ],
)
def test_a_day_without_a_midnight_starts_after_the_gap(zone: str, day: date, start: str) -> None:
    assert start_of_date(day, zone) == us(start)
    assert local_date(us(start), zone) == day
    assert local_date(us(start) - 1, zone) == day - timedelta(days=1)


@pytest.mark.parametrize(
    ("zone", "day", "start"),
    [
        ("America/Havana", date(2026, 11, 1), "2026-11-01T00:00:00-04:00"),
        (SAO_PAULO, date(2018, 2, 18), "2018-02-18T00:00:00-03:00"),
    ],
)
def test_a_day_with_two_midnights_starts_at_the_earlier_instant_of_its_date(
    zone: str, day: date, start: str
) -> None:
    assert start_of_date(day, zone) == us(start)
    assert local_date(us(start), zone) == day
    assert local_date(us(start) - 1, zone) == day - timedelta(days=1)


def test_a_date_that_a_zone_skipped_has_no_instants() -> None:
    skipped = date(2011, 12, 30)
    start = start_of_date(skipped, APIA)
    assert start == start_of_date(date(2011, 12, 31), APIA)
    assert local_date(start - 1, APIA) == date(2011, 12, 29)


@pytest.mark.parametrize("unit", list(PeriodUnit))
@pytest.mark.parametrize("zone", [SHANGHAI, NEW_YORK, "Pacific/Kiritimati", "Etc/GMT+12"])
@pytest.mark.parametrize("instant", [-(2**63), -(2**56), 2**58, 2**63])
def test_an_instant_beyond_the_years_has_the_periods_of_the_nearest_one(
    unit: PeriodUnit, zone: str, instant: int
) -> None:
    starts = [period_start(instant, unit, back, zone) for back in (1_200, 1, 0, -1, -1_200)]
    assert starts == sorted(starts)
    assert starts[2] < starts[3]
    assert all(1 <= from_us(start).year <= 9999 for start in starts)
    assert 1 <= local_date(instant, zone).year <= 9999


@examples(300)
@given(t=instants, unit=units, zone=zones)
def test_an_instant_is_in_its_current_period(t: int, unit: PeriodUnit, zone: str) -> None:
    assert period_start(t, unit, 0, zone) <= t < period_start(t, unit, -1, zone)


@examples(200)
@given(t=recent, unit=units, zone=zones, back=st.integers(-20, 20))
def test_periods_follow_each_other_without_gaps(
    t: int, unit: PeriodUnit, zone: str, back: int
) -> None:
    start, end = period_start(t, unit, back, zone), period_start(t, unit, back - 1, zone)
    assert start < end or zone == APIA
    assert period_start(end - 1, unit, 0, zone) == start
    if start < end:
        assert period_start(start, unit, 0, zone) == start


@examples(200)
@given(t=recent, zone=zones)
def test_larger_periods_start_on_a_start_of_smaller_ones(t: int, zone: str) -> None:
    days = [PeriodUnit.YEAR, PeriodUnit.QUARTER, PeriodUnit.MONTH, PeriodUnit.DAY]
    starts = [period_start(t, unit, 0, zone) for unit in days]
    assert starts == sorted(starts)
    for larger, smaller in pairwise(days):
        start = period_start(t, larger, 0, zone)
        assert period_start(start, smaller, 0, zone) == start
    assert t - period_start(t, PeriodUnit.WEEK, 0, zone) <= 7 * DAY_US + HOUR_US


@examples(200)
@given(t=recent, zone=zones)
def test_a_local_date_is_the_day_that_has_the_instant(t: int, zone: str) -> None:
    day = local_date(t, zone)
    assert start_of_date(day, zone) <= t < start_of_date(day + timedelta(days=1), zone)


@pytest.mark.parametrize(
    "name",
    [
        *("", "Mars/Base", "Asia", "Asia/", "/Asia/Shanghai", "Asia//Shanghai", "asia/../UTC"),
        *("../x", "../zoneinfo/UTC", "..", ".", "Asia/../UTC", "Asia/..", "/etc/localtime"),
        *("../../etc/passwd", "Asia\\Shanghai", "UTC\x00", "UTC\n", " UTC", "__init__.py"),
        *("zone.tab", "tzdata.zi", "+08:00", "Asia/Shanghai/", "Ａsia/Shanghai", "北京", "A" * 100),
        *("leapseconds", "iso3166.tab"),
    ],
    ids=ascii,
)
def test_a_name_of_no_zone_is_rejected(name: str) -> None:
    with pytest.raises(ValueError, match="time zone"):
        check_zone(name)
    assert not is_zone(name)


@pytest.mark.parametrize("value", [None, 8, True, ["UTC"], {"zone": "UTC"}, b"UTC"], ids=repr)
def test_a_value_that_is_no_text_is_no_zone(value: object) -> None:
    assert not is_zone(value)


def test_every_zone_of_the_database_is_known() -> None:
    names = files("tzdata").joinpath("zones").read_text(encoding="ascii").split()
    assert len(names) > 500
    assert [name for name in names if not is_zone(name)] == []


def test_zones_do_not_depend_on_the_database_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a zone was read from the machine")

    monkeypatch.setattr(zoneinfo, "TZPATH", ())
    monkeypatch.setattr("zoneinfo._common.load_tzdata", fail)
    monkeypatch.setattr("zoneinfo._tzpath.find_tzfile", fail)
    assert local_date(0, "Pacific/Galapagos") == date(1969, 12, 31)
