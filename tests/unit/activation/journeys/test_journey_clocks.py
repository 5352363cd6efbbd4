"""Messages go out by the clock of the person: one table, computed by hand, for player and gate."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from services.activation.domain.journeys.occasions import (
    StatedDate,
    date_occasions,
    schedule_instants,
)
from services.activation.domain.journeys.player import play
from services.activation.domain.journeys.program import compile_journey
from services.activation.domain.journeys.run import ContactHours, PersonFacts, RunEntry
from services.activation.domain.policy.gate import (
    PASSED,
    GateMessage,
    GatePerson,
    Verdict,
    pass_gate,
)
from services.kernel.errors import RuleError
from services.kernel.ids import FactId, LeafId
from services.kernel.journeys.contact_policy import parse_contact_policy, zone_of
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.journeys.model import DateTrigger, ScheduleTrigger
from services.kernel.local_time import LeapDay, ZoneHistory
from services.kernel.time import DAY_US, parse_rfc3339, to_rfc3339

LEAF = LeafId(bytes(16))
SHANGHAI, NEW_YORK, SAMOA = "Asia/Shanghai", "America/New_York", "Pacific/Apia"
LORD_HOWE, CHATHAM, KATHMANDU = "Australia/Lord_Howe", "Pacific/Chatham", "Asia/Kathmandu"
WORKDAYS = ["mon", "tue", "wed", "thu", "fri"]
#: No hours are quiet in it.
NONE: dict[str, str] = {}
NIGHT, DAYTIME = {"from": "22:00", "to": "08:00"}, {"from": "08:00", "to": "22:00"}


class Row(NamedTuple):
    """A person who enters, what the journey says, and when the message goes out."""

    what: str
    zone: str
    entered: str
    quiet: dict[str, str]
    step: dict[str, Any]
    expected: str


def until(clock: str, days: list[str] | None = None) -> dict[str, Any]:
    return {"until": {"clock": clock, **({"days": days} if days else {})}}


SEVEN = until("07:00", WORKDAYS)
TABLE = [
    Row("night", SHANGHAI, "2026-03-06T14:30", NIGHT, {}, "2026-03-07T00:00"),
    Row("night, at its end", SHANGHAI, "2026-03-07T00:00", NIGHT, {}, "2026-03-07T00:00"),
    Row("day in the night", SHANGHAI, "2026-03-06T05:00", NIGHT, {}, "2026-03-06T05:00"),
    Row("daytime", SHANGHAI, "2026-03-06T03:00", DAYTIME, {}, "2026-03-06T14:00"),
    Row("night in the daytime", SHANGHAI, "2026-03-06T15:00", DAYTIME, {}, "2026-03-06T15:00"),
    # Friday at eight: Monday at seven, not Saturday.
    Row("workdays", SHANGHAI, "2026-03-06T00:00", NONE, SEVEN, "2026-03-08T23:00"),
    Row("workdays", KATHMANDU, "2026-03-06T02:00", NONE, SEVEN, "2026-03-09T01:15"),
    # Summer time ends on Sunday, from +13:45 to +12:45.
    Row("workdays", CHATHAM, "2026-04-03T00:00", NONE, SEVEN, "2026-04-05T18:15"),
    # Clocks go forward on Sunday 8 March, back on Sunday 1 November.
    Row("workdays, spring", NEW_YORK, "2026-03-06T12:30", NONE, SEVEN, "2026-03-09T11:00"),
    Row("workdays, autumn", NEW_YORK, "2026-10-30T11:30", NONE, SEVEN, "2026-11-02T12:00"),
    Row("spring", NEW_YORK, "2026-03-07T12:30", NONE, until("07:00"), "2026-03-08T11:00"),
    Row("autumn", NEW_YORK, "2026-10-31T11:30", NONE, until("07:00"), "2026-11-01T12:00"),
    Row("night, spring", NEW_YORK, "2026-03-08T04:00", NIGHT, {}, "2026-03-08T12:00"),
    Row("night, autumn", NEW_YORK, "2026-11-01T03:00", NIGHT, {}, "2026-11-01T13:00"),
    # Each rule in each zone. Kathmandu is at +05:45.
    Row("night", KATHMANDU, "2026-03-06T17:00", NIGHT, {}, "2026-03-07T02:15"),
    Row("daytime", KATHMANDU, "2026-03-06T06:00", DAYTIME, {}, "2026-03-06T16:15"),
    Row("night, autumn", CHATHAM, "2026-04-04T09:00", NIGHT, {}, "2026-04-04T19:15"),
    Row("daytime, autumn", CHATHAM, "2026-04-04T20:00", DAYTIME, {}, "2026-04-05T09:15"),
    Row("daytime, spring", NEW_YORK, "2026-03-08T13:00", DAYTIME, {}, "2026-03-09T02:00"),
    Row("daytime, autumn", NEW_YORK, "2026-11-01T14:00", DAYTIME, {}, "2026-11-02T03:00"),
    Row("workdays, spring", LORD_HOWE, "2026-10-01T21:00", NONE, SEVEN, "2026-10-04T20:00"),
    Row("workdays, autumn", LORD_HOWE, "2026-04-02T21:00", NONE, SEVEN, "2026-04-05T20:30"),
    Row("night, autumn", LORD_HOWE, "2026-04-04T12:00", NIGHT, {}, "2026-04-04T21:30"),
    Row("daytime, spring", LORD_HOWE, "2026-10-03T22:00", DAYTIME, {}, "2026-10-04T11:00"),
    Row("daytime, autumn", LORD_HOWE, "2026-04-04T22:00", DAYTIME, {}, "2026-04-05T11:30"),
    Row("daytime before no Friday", SAMOA, "2011-12-29T19:00", DAYTIME, {}, "2011-12-30T08:00"),
    # It does not exist: the first instant after the gap.
    Row("02:30, spring", NEW_YORK, "2026-03-08T05:00", NONE, until("02:30"), "2026-03-08T07:00"),
    # It occurs twice: the first time.
    Row("01:30, autumn", NEW_YORK, "2026-11-01T04:00", NONE, until("01:30"), "2026-11-01T05:30"),
    # A wait is a span of hours, whatever the clock shows.
    Row("24 hours, spring", NEW_YORK, "2026-03-07T17:00", NONE, {"wait": "1d"}, "2026-03-08T17:00"),
    # Clocks go by half an hour.
    Row("spring", LORD_HOWE, "2026-10-03T00:00", NONE, until("07:00"), "2026-10-03T20:00"),
    Row("autumn", LORD_HOWE, "2026-04-04T00:00", NONE, until("07:00"), "2026-04-04T20:30"),
    Row("night, spring", LORD_HOWE, "2026-10-03T12:00", NIGHT, {}, "2026-10-03T21:00"),
    # Friday 30 December 2011 did not exist there.
    Row("no Friday", SAMOA, "2011-12-29T20:30", NONE, until("10:00"), "2011-12-30T20:00"),
    Row(
        "no Friday, workdays",
        *(SAMOA, "2011-12-29T20:30", NONE, until("10:00", WORKDAYS)),
        "2012-01-01T20:00",
    ),
    Row(
        "no Friday, Fridays",
        *(SAMOA, "2011-12-29T20:30", NONE, until("10:00", ["fri"])),
        "2012-01-05T20:00",
    ),
    Row("night before no Friday", SAMOA, "2011-12-30T08:30", NIGHT, {}, "2011-12-30T18:00"),
    Row("leap day", "UTC", "2028-02-28T12:00", NONE, until("09:00"), "2028-02-29T09:00"),
    # A zone that does not exist: the default of the policy.
    Row("unknown zone", "Mars/Base", "2026-03-06T14:30", NIGHT, {}, "2026-03-07T00:00"),
    # At 12:00 UTC the person goes from Shanghai to New York, and waits for the clock there.
    Row("moved", "moved", "2026-03-06T00:00", NONE, until("22:00"), "2026-03-07T03:00"),
    Row("moved into the night", "moved", "2026-03-07T04:00", NIGHT, {}, "2026-03-07T13:00"),
    Row("moved after it", "moved", "2026-03-06T00:00", NONE, until("18:00"), "2026-03-06T10:00"),
]
MOVED_US = parse_rfc3339("2026-03-06T12:00:00Z")


def policy_of(quiet: dict[str, str]) -> Any:
    marketing = {"consent": "none", **({"quiet": quiet} if quiet else {})}
    zone = {"traits": ["timezone"], "else": SHANGHAI}
    return parse_contact_policy({"zone": zone, "purposes": {"marketing": marketing}})


def zones_of(row: Row) -> ZoneHistory:
    """Return the zones of the person, as the policy takes them from the traits."""
    if row.zone == "moved":
        return ZoneHistory(SHANGHAI, ((MOVED_US, NEW_YORK),))
    return ZoneHistory(zone_of(policy_of(NONE).zone, {"timezone": row.zone}, ()))


def at(text: str) -> int:
    return parse_rfc3339(f"{text}:00Z")


@pytest.mark.parametrize("row", TABLE, ids=[f"{row.what} in {row.zone}" for row in TABLE])
def test_message_goes_out_at_the_instant_of_the_table(row: Row) -> None:
    send = {"send": {"id": "m", "to": "mail", "template": "t"}}
    form = {"id": "j", "enter": {"event": "entered"}, "steps": [row.step, send]}
    form["steps"] = [step for step in (row.step, send) if step]
    policy, entered_us = policy_of(row.quiet), at(row.entered)
    entry = RunEntry(entered_us, FactId(b"e"), LEAF, entered_us, {})
    hours = ContactHours(zones_of(row), {"marketing": policy.quiet_hours("marketing")})
    program = compile_journey(parse_journey(form))
    played = play(program, entry, PersonFacts([]), {}, hours, entered_us + 30 * DAY_US)
    assert [to_rfc3339(effect.at_us)[:16] for effect in played.effects] == [row.expected]


@pytest.mark.parametrize(
    "row",
    [row for row in TABLE if row.quiet],
    ids=[f"{row.what} in {row.zone}" for row in TABLE if row.quiet],
)
def test_gate_lets_the_message_pass_at_the_instant_of_the_table(row: Row) -> None:
    """A message that comes to the gate in the quiet hours, as after an outage."""
    person, policy = GatePerson(zones_of(row)), policy_of(row.quiet)
    message = GateMessage(b"e", "j", "marketing", "email", at(row.entered), LEAF)
    answer = pass_gate([message], person, policy, message.at_us)[b"e"]
    expected_us = at(row.expected)
    if expected_us == message.at_us:
        assert answer == PASSED
        return
    assert (answer.verdict, answer.until_us) == (Verdict.POSTPONE, expected_us)
    assert pass_gate([message], person, policy, expected_us)[b"e"] == PASSED
    before = pass_gate([message], person, policy, expected_us - 1)[b"e"]
    assert before.verdict is Verdict.POSTPONE


@pytest.mark.parametrize(
    ("leap", "expected"),
    [
        (LeapDay.FEB_28, ["2026-02-28", "2027-02-28", "2028-02-29"]),
        (LeapDay.MAR_1, ["2026-03-01", "2027-03-01", "2028-02-29"]),
    ],
)
def test_birthday_on_a_leap_day_is_once_in_every_year(leap: LeapDay, expected: list[str]) -> None:
    trigger = DateTrigger("birthday", 9 * 60, 0, "UTC", leap)
    stated = [StatedDate(at("2020-01-01T00:00"), "2000-02-29")]
    span = at("2026-01-01T00:00"), at("2028-12-31T00:00")
    found = date_occasions(trigger, stated, ZoneHistory("UTC"), *span)
    assert [to_rfc3339(each.at_us)[:10] for each in found] == expected


def test_schedule_of_the_31st_leaves_out_the_months_without_it() -> None:
    trigger = ScheduleTrigger(cron="0 10 31 * *", zone="UTC")
    span = at("2026-01-01T00:00"), at("2026-12-31T23:59")
    found = [to_rfc3339(us)[5:10] for us in schedule_instants(trigger, "UTC", *span)]
    assert found == ["01-31", "03-31", "05-31", "07-31", "08-31", "10-31", "12-31"]


@pytest.mark.parametrize("span", ["1mo", "1 month", "1M"])
def test_wait_of_a_month_is_refused_as_months_differ(span: str) -> None:
    form = {"id": "j", "enter": {"event": "entered"}, "steps": [{"wait": span}]}
    with pytest.raises(RuleError) as error:
        parse_journey(form)
    assert "such as" in str(error.value)


def test_policy_with_an_unknown_zone_is_refused() -> None:
    with pytest.raises(RuleError, match="zone"):
        parse_contact_policy({"zone": {"else": "Mars/Base"}})
