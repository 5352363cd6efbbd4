"""What a journey needs of the facts of persons follows from the set of its versions."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.fold.events import IDENTIFY, EventView
from services.kernel.fold.leaf import LeafState, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.journeys.inputs import (
    JourneyStop,
    awaited_events,
    call_filter_id,
    date_zone,
    entry_properties,
    entry_rule,
    live_versions,
)
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.journeys.model import DateTrigger, Journey, PeopleInside
from services.kernel.local_time import LeapDay
from services.kernel.rules.filters import EventFilter
from services.kernel.rules.ids import structure_id
from services.kernel.time import to_us

SEND = {"send": {"id": "m", "to": "mail", "template": "t", "with": {"goods": "entry.items.first"}}}
CART: dict[str, Any] = {
    "id": "cart",
    "enter": {"event": "cart_updated", "per": "cart_id"},
    "goal": [{"event": {"name": "paid", "same": "order"}}],
    "leave": [{"segment": {"id": "vip"}}],
    "steps": [{"listen": {"to": {"event": "clicked"}, "at_most": "2d", "then": [SEND]}}],
}


def version(number: int, people: PeopleInside = PeopleInside.STAY, id_: str = "j") -> Journey:
    journey = parse_journey({"id": id_, "enter": {"call": True}, "steps": [{"wait": "1h"}]})
    return replace(journey, version=number, people_inside=people)


def test_awaited_events_have_the_properties_that_the_journey_reads() -> None:
    journey = parse_journey(CART)
    assert awaited_events(journey) == {
        EventFilter.of("cart_updated"): {"cart_id", "order", "items"},
        EventFilter.of("paid"): {"order"},
        EventFilter.of("clicked"): frozenset(),
    }
    assert entry_properties(journey) == {"cart_id", "order", "items"}


def test_call_filter_id_is_that_of_no_other_journey_and_of_no_event() -> None:
    ids = {call_filter_id("a"), call_filter_id("b"), structure_id(EventFilter.of("a"))}
    assert len(ids) == 3
    assert all(0 <= id_ < 2**64 for id_ in ids)


def test_live_versions_are_all_whose_people_stay() -> None:
    assert live_versions([version(2), version(1)], []) == [version(1), version(2)]


def test_version_whose_people_do_not_stay_ends_those_before() -> None:
    moved = version(2, PeopleInside.MOVE)
    assert live_versions([version(1), moved, version(3)], []) == [moved, version(3)]


def test_stopped_journey_has_no_live_version() -> None:
    assert live_versions([version(1), version(2)], [JourneyStop("j", 1, True, 1)]) == []


def test_journey_that_runs_again_has_the_version_of_its_stop_and_later_ones() -> None:
    stops = [JourneyStop("j", 1, True, 2), JourneyStop("j", 2, False, 2)]
    versions = [version(1), version(2), version(3)]
    assert live_versions(versions, stops) == versions[1:]


def test_stop_of_one_journey_concerns_no_other() -> None:
    other = version(1, id_="k")
    assert live_versions([version(1), other], [JourneyStop("j", 1, True, 1)]) == [other]


@given(st.permutations([1, 2, 3]), st.permutations([1, 2, 3]))
def test_live_versions_do_not_depend_on_the_order(versions: Any, stops: Any) -> None:
    people = {2: PeopleInside.LEAVE}
    journeys = [version(n, people.get(n, PeopleInside.STAY)) for n in versions]
    changes = [JourneyStop("j", n, n == 2, n - 1) for n in stops]
    assert [j.version for j in live_versions([*journeys, *journeys], changes)] == [2, 3]


@pytest.mark.parametrize(
    ("now", "leap_day", "is_member"),
    [
        ("2026-02-25T10:00Z", LeapDay.FEB_28, True),
        ("2026-02-25T09:59Z", LeapDay.FEB_28, False),
        ("2026-02-26T10:00Z", LeapDay.FEB_28, False),
        ("2026-02-26T10:00Z", LeapDay.MAR_1, True),
        ("2028-02-26T10:00Z", LeapDay.FEB_28, True),
        ("2028-02-26T10:00Z", LeapDay.MAR_1, True),
    ],
)
def test_entry_rule_of_a_date_has_the_persons_on_the_day_that_begins_first(
    now: str, leap_day: LeapDay, is_member: bool
) -> None:
    form = {"id": "j", "enter": {"date": {"trait": "birthday", "before": "2d", "clock": "09:00"}}}
    journey = parse_journey({**form, "steps": [{"wait": "1h"}]})
    trigger = journey.entry.by
    assert isinstance(trigger, DateTrigger)
    entry = replace(journey.entry, by=replace(trigger, leap_day=leap_day))
    rule = entry_rule(replace(journey, entry=entry))
    assert rule is not None
    index = PredicateIndex.from_rules([rule])
    state = LeafState()
    born = EventView(
        IDENTIFY, "", 1, b"f" * 16, traits=b'{"birthday": "1996-02-29", "timezone": "UTC"}'
    )
    fold_event(state, born, index)
    [predicate] = index.predicates.values()
    # 29 February is 28 February in 2026, and in Kiritimati the day begins 14 hours before UTC's.
    assert (
        predicate.evaluate(view_of([state]), to_us(datetime.fromisoformat(now))).holds is is_member
    )
    assert date_zone(trigger) == "Pacific/Kiritimati"
    assert date_zone(replace(trigger, zone="Asia/Tokyo")) == "Asia/Tokyo"


def test_retired_journey_has_no_entry_rule() -> None:
    form = {"id": "j", "enter": {"first_seen": True}, "steps": [{"wait": "1h"}]}
    journey = parse_journey(form)
    assert entry_rule(journey) is not None
    assert entry_rule(replace(journey, retired=True)) is None
    assert entry_rule(parse_journey(CART)) is None
