"""Members of the rule of a date begin runs on the occasions that the dates themselves give."""

from __future__ import annotations

import json
from datetime import date
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.activation.domain.journeys.catalogue import (
    JourneyHistory,
    JourneyVersion,
    subjects_of,
)
from services.activation.domain.journeys.looks import JourneyFact, KnownPerson, look_at
from services.activation.domain.journeys.occasions import (
    DateOccasion,
    StatedDate,
    date_occasions,
    occasion_of_member,
)
from services.activation.domain.journeys.program import compile_journey, segment_subject
from services.activation.domain.journeys.run import ContactHours
from services.kernel.fold.events import IDENTIFY, EventView
from services.kernel.fold.leaf import LeafState, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import FactId, LeafId, WorkspaceId
from services.kernel.journeys.inputs import entry_rule
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.journeys.model import DateTrigger, Journey, JourneyEntry, Movement, WaitStep
from services.kernel.local_time import LeapDay, ZoneHistory
from services.kernel.time import DAY_US, HOUR_US, parse_rfc3339
from tests.properties import examples

AFTER_US, UNTIL_US = parse_rfc3339("2026-01-01T00:00:00Z"), parse_rfc3339("2027-01-01T00:00:00Z")
LEAF, SCHOOL = LeafId(b"l" * 16), WorkspaceId("school")


class Change(NamedTuple):
    at_us: int
    entered: bool


def changes(journey: Journey, stated: list[StatedDate]) -> list[Change]:
    """Return the changes of the membership, as profile and segment find them."""
    rule = entry_rule(journey)
    assert rule is not None
    index = PredicateIndex.from_rules([rule])
    [predicate] = index.predicates.values()
    state, found, is_member = LeafState(), list[Change](), False
    events = [(s.since_us, s.value) for s in stated]
    at_us = 0
    while events or at_us is not None:
        while events and events[0][0] <= at_us:
            since_us, value = events.pop(0)
            traits = json.dumps({"birthday": value}).encode()
            fold_event(state, EventView(IDENTIFY, "", since_us, b"f" * 16, traits=traits), index)
        result = predicate.evaluate(view_of([state]), at_us)
        if result.holds is not is_member:
            is_member = result.holds
            found.append(Change(at_us, is_member))
        following = [due for due in (result.next_due_us, *(e[0] for e in events[:1])) if due]
        at_us = min(following, default=UNTIL_US + DAY_US)
        if at_us > UNTIL_US + DAY_US or not following:
            return found
    return found


def occasions(trigger: DateTrigger, stated: list[StatedDate], zones: ZoneHistory) -> set[int]:
    journey = Journey("j", JourneyEntry(trigger), (WaitStep("w", HOUR_US),))
    own = changes(journey, stated)
    left = [change.at_us for change in own if not change.entered]
    by_year: dict[int, DateOccasion] = {}
    for change in own:
        if change.entered:
            found = occasion_of_member(trigger, change.at_us, left, zones)
            if found is not None:
                by_year[found.day.year] = min(found, by_year.get(found.day.year, found))
    return {each.at_us for each in by_year.values() if AFTER_US < each.at_us <= UNTIL_US}


ZONES = ["Asia/Shanghai", "UTC", "America/Los_Angeles", "Pacific/Auckland", "Asia/Kolkata"]
DATES = st.dates(date(1950, 1, 1), date(2020, 12, 31)) | st.just(date(2000, 2, 29))


@examples(80)
@given(
    born=DATES,
    clock=st.integers(0, 1439),
    before=st.integers(0, 30),
    zone=st.sampled_from(ZONES),
    leap_day=st.sampled_from(LeapDay),
)
def test_members_have_the_occasions_of_their_date(
    born: date, clock: int, before: int, zone: str, leap_day: LeapDay
) -> None:
    trigger = DateTrigger("birthday", clock, before * DAY_US, leap_day=leap_day)
    stated = [StatedDate(parse_rfc3339("2024-06-01T00:00:00Z"), born.isoformat())]
    zones = ZoneHistory(zone)
    expected = {o.at_us for o in date_occasions(trigger, stated, zones, AFTER_US, UNTIL_US)}
    assert occasions(trigger, stated, zones) == expected


@pytest.mark.parametrize(
    ("learnt", "value", "corrected", "expected"),
    [
        # Learnt before the hour of its day, and after it.
        ("2026-05-10T00:59:00Z", "1990-05-10", "", ["2026-05-10T01:00:00Z"]),
        ("2026-05-10T01:01:00Z", "1990-05-10", "", []),
        # Corrected to a later day, and to an earlier one, before its day.
        ("2025-01-01T00:00:00Z", "1990-05-10", "1990-06-10", ["2026-06-10T01:00:00Z"]),
        ("2025-01-01T00:00:00Z", "1990-05-10", "1990-04-10", []),
        # No date at all.
        ("2025-01-01T00:00:00Z", "soon", "", []),
    ],
)
def test_date_that_is_learnt_or_corrected_begins_runs_as_the_table_says(
    learnt: str, value: str, corrected: str, expected: list[str]
) -> None:
    trigger = DateTrigger("birthday", 9 * 60)
    stated = [StatedDate(parse_rfc3339(learnt), value)]
    if corrected:
        stated.append(StatedDate(parse_rfc3339("2026-05-09T20:00:00Z"), corrected))
    zones = ZoneHistory("Asia/Shanghai")
    assert occasions(trigger, stated, zones) == {parse_rfc3339(text) for text in expected}
    known = {o.at_us for o in date_occasions(trigger, stated, zones, AFTER_US, UNTIL_US)}
    assert known == {parse_rfc3339(text) for text in expected}


def test_person_is_looked_at_again_at_the_hour_of_the_date_and_enters_with_it() -> None:
    form = {"id": "j", "enter": {"date": {"trait": "birthday", "clock": "09:00"}}}
    journey = parse_journey({**form, "steps": [{"wait": "1h"}]})
    history = JourneyHistory((JourneyVersion(0, compile_journey(journey.at_version(1))),))
    entered_us = parse_rfc3339("2026-05-09T10:00:00Z")
    due_us = parse_rfc3339("2026-05-10T01:00:00Z")
    subject = segment_subject("journey:j", Movement.ENTERED)
    assert {subject, segment_subject("journey:j", Movement.LEFT)} <= subjects_of(journey)
    fact = JourneyFact(LEAF, FactId(b"f" * 16), entered_us, entered_us, (subject,))
    hours = ContactHours(ZoneHistory("Asia/Shanghai"), {})
    person = KnownPerson(SCHOOL, [fact], {}, {}, hours)
    before = look_at(person, history, due_us - 1)
    assert (before.runs, before.due_us) == ((), due_us)
    [run] = look_at(person, history, due_us).runs
    assert run.record.first.occurred_at_us == due_us
    assert run.record.first.properties == {"date": "2026-05-10"}
