"""Anniversaries and schedules begin runs at the instants of a table."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from services.activation.domain.journeys.occasions import (
    DateOccasion,
    StatedDate,
    date_entry_id,
    date_occasions,
    schedule_instants,
)
from services.kernel.ids import LeafId, WorkspaceId
from services.kernel.journeys.model import DateTrigger, ScheduleTrigger
from services.kernel.local_time import LeapDay, ZoneHistory
from services.kernel.time import DAY_US, parse_rfc3339, to_rfc3339

SHANGHAI = ZoneHistory("Asia/Shanghai")
BIRTHDAY = DateTrigger("birthday", 9 * 60, 3 * DAY_US)


def at(text: str) -> int:
    return parse_rfc3339(text)


def occasions(
    *stated: tuple[str, Any],
    trigger: DateTrigger = BIRTHDAY,
    zones: ZoneHistory = SHANGHAI,
    after: str = "2026-01-01T00:00:00Z",
    until: str = "2027-01-01T00:00:00Z",
) -> list[str]:
    values = [StatedDate(at(since), value) for since, value in stated]
    found = date_occasions(trigger, values, zones, at(after), at(until))
    return [to_rfc3339(occasion.at_us)[:16] for occasion in found]


LONG_AGO = "2020-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("stated", "more", "expected"),
    [
        ([(LONG_AGO, "1990-05-10")], {}, ["2026-05-07T01:00"]),
        # Three days before 1 January lies in the year before.
        ([(LONG_AGO, "1990-01-02")], {}, ["2026-12-30T01:00"]),
        # 29 February in a year without it.
        ([(LONG_AGO, "2000-02-29")], {}, ["2026-02-25T01:00"]),
        (
            [(LONG_AGO, "2000-02-29")],
            {"trigger": DateTrigger("birthday", 540, 3 * DAY_US, leap_day=LeapDay.MAR_1)},
            ["2026-02-26T01:00"],
        ),
        # The birthday is corrected to a later day before the first one: the later one counts.
        (
            [(LONG_AGO, "1990-05-10"), ("2026-05-01T00:00:00Z", "1990-06-10")],
            {},
            ["2026-06-07T01:00"],
        ),
        # … after the first one: there was one this year.
        (
            [(LONG_AGO, "1990-05-10"), ("2026-05-08T00:00:00Z", "1990-06-10")],
            {},
            ["2026-05-07T01:00"],
        ),
        # … to a day that is over: none this year.
        ([(LONG_AGO, "1990-05-10"), ("2026-05-01T00:00:00Z", "1990-04-10")], {}, []),
        # … twice within the window.
        (
            [
                (LONG_AGO, "1990-05-10"),
                ("2026-05-06T00:00:00Z", "1990-05-12"),
                ("2026-05-07T00:00:00Z", "1990-05-11"),
            ],
            {},
            ["2026-05-08T01:00"],
        ),
        # It is learnt after its instant: none until the next year.
        ([("2026-05-08T00:00:00Z", "1990-05-10")], {}, []),
        (
            [("2026-05-08T00:00:00Z", "1990-05-10")],
            {"until": "2028-01-01T00:00:00Z"},
            ["2027-05-07T01:00"],
        ),
        # It is learnt at its very instant.
        ([("2026-05-07T01:00:00Z", "1990-05-10")], {}, ["2026-05-07T01:00"]),
        # The person moves before it: 09:00 in New York.
        (
            [(LONG_AGO, "1990-05-10")],
            {
                "zones": ZoneHistory(
                    "Asia/Shanghai", ((at("2026-05-06T00:00:00Z"), "America/New_York"),)
                )
            },
            ["2026-05-07T13:00"],
        ),
        # … after it: it was this year.
        (
            [(LONG_AGO, "1990-05-10")],
            {
                "zones": ZoneHistory(
                    "Asia/Shanghai", ((at("2026-05-07T02:00:00Z"), "America/New_York"),)
                )
            },
            ["2026-05-07T01:00"],
        ),
        # A zone of the journey.
        (
            [(LONG_AGO, "1990-05-10")],
            {"trigger": DateTrigger("birthday", 540, 0, "UTC")},
            ["2026-05-10T09:00"],
        ),
        # Not before the person is born; no date at all.
        ([(LONG_AGO, "2026-12-31")], {"until": "2026-12-31T23:00:00Z"}, ["2026-12-28T01:00"]),
        ([(LONG_AGO, "2028-05-10")], {}, []),
        ([(LONG_AGO, "soon")], {}, []),
        # A date as a number.
        ([(LONG_AGO, 19900510)], {}, ["2026-05-07T01:00"]),
        # Each year.
        (
            [(LONG_AGO, "1990-05-10")],
            {"until": "2029-01-01T00:00:00Z"},
            ["2026-05-07T01:00", "2027-05-07T01:00", "2028-05-07T01:00"],
        ),
    ],
)
def test_occasions_of_a_date_are_those_of_a_table(
    stated: list[tuple[str, Any]], more: dict[str, Any], expected: list[str]
) -> None:
    assert occasions(*stated, **more) == expected


def test_occasions_of_neighbouring_spans_are_neither_lost_nor_repeated() -> None:
    instants = ["2026-05-07T00:59:59Z", "2026-05-07T01:00:00Z", "2026-05-07T01:00:01Z"]
    stated = (LONG_AGO, "1990-05-10")
    first = occasions(stated, after=instants[0], until=instants[1])
    second = occasions(stated, after=instants[1], until=instants[2])
    assert (first, second) == (["2026-05-07T01:00"], [])


def test_entry_of_a_date_is_one_a_year_whatever_the_day() -> None:
    leaf = LeafId(bytes(16))
    ids = {
        date_entry_id(WorkspaceId("w"), "j", DateOccasion(1, day), leaf)
        for day in (date(2026, 5, 10), date(2026, 6, 10))
    }
    assert len(ids) == 1
    later = date_entry_id(WorkspaceId("w"), "j", DateOccasion(1, date(2027, 5, 10)), leaf)
    assert later not in ids


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        (ScheduleTrigger("2026-12-01T10:00"), ["2026-12-01T02:00"]),
        (ScheduleTrigger("2026-12-01T10:00", zone="UTC"), ["2026-12-01T10:00"]),
        (ScheduleTrigger("2027-12-01T10:00"), []),
        (ScheduleTrigger("2025-12-01T10:00"), []),
        (
            ScheduleTrigger(cron="0 10 1 */3 *"),
            ["2026-01-01T02:00", "2026-04-01T02:00", "2026-07-01T02:00", "2026-10-01T02:00"],
        ),
    ],
)
def test_schedule_has_the_instants_of_its_zone(
    trigger: ScheduleTrigger, expected: list[str]
) -> None:
    found = schedule_instants(
        trigger, "Asia/Shanghai", at("2026-01-01T00:00:00Z"), at("2026-12-31T00:00:00Z")
    )
    assert [to_rfc3339(instant)[:16] for instant in found] == expected
