"""Tests the demo's events and the correct results computed from them."""

from __future__ import annotations

import pytest

from services.cli.demo.dataset import DAYS, Endpoint, School
from services.cli.demo.expected import ExpectedResults
from services.kernel.time import DAY_US, MINUTE_US

END = 1_790_000_000_000_000


@pytest.fixture(scope="module")
def school() -> School:
    return School(END, visitors=300)


def test_school_with_the_same_seed_has_the_same_events(school: School) -> None:
    same = School(END, visitors=300)
    assert same.events == school.events
    assert list(same.in_sending_order()) == list(school.in_sending_order())
    assert School(END, visitors=300, seed=1).events != school.events


def test_events_occur_within_the_month(school: School) -> None:
    times = [event.occurred_at_us for event in school.events]
    assert min(times) >= END - DAYS * DAY_US
    assert max(times) <= END - MINUTE_US


def test_sending_order_uses_all_endpoints_and_has_every_event(school: School) -> None:
    sent = list(school.in_sending_order())
    assert {event.endpoint for event in sent} == set(Endpoint)
    ids = {event.message_id for event in school.events}
    assert len(ids) == len(school.events)
    assert {event.message_id for event in sent} == ids
    assert len(sent) > len(ids), "some are sent twice"
    assert [e.occurred_at_us for e in sent] != sorted(e.occurred_at_us for e in sent)


def test_identifier_belongs_to_one_visitor(school: School) -> None:
    expected = ExpectedResults(school)
    for event in school.events:
        for namespace, prefix in (("user_id", ""), ("anonymous_id", ""), ("phone", "+86")):
            if value := getattr(event, namespace):
                assert expected.visitors[namespace, prefix + value] == event.visitor


def test_high_intent_visitors_fulfil_each_condition(school: School) -> None:
    found = ExpectedResults(school).high_intent(END)
    assert found
    for visitor in found:
        events = [e for e in school.events if e.visitor == visitor]
        recent = [e for e in events if END - 7 * DAY_US < e.occurred_at_us <= END]
        assert "attended_trial_lesson" in {e.name for e in recent}
        assert "purchased_course" not in {e.name for e in events}
        assert len({e.properties.get("course_id") for e in recent if e.properties.get("paid")}) >= 3


def test_high_intent_visitors_decrease_to_none_as_time_passes(school: School) -> None:
    expected = ExpectedResults(school)
    sizes = [len(expected.high_intent(END + days * DAY_US)) for days in range(9)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[3] > sizes[-1] == 0
