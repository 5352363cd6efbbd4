"""The school of the demo, and the truth that is planted in it."""

from __future__ import annotations

import pytest

from services.cli.demo.dataset import DAYS, Door, School
from services.cli.demo.expected import Truth
from services.kernel.time import DAY_US, MINUTE_US

END = 1_790_000_000_000_000


@pytest.fixture(scope="module")
def school() -> School:
    return School(END, visitors=300)


def test_the_same_seed_is_the_same_month(school: School) -> None:
    again = School(END, visitors=300)
    assert again.happenings == school.happenings
    assert list(again.deliveries()) == list(school.deliveries())
    assert School(END, visitors=300, seed=1).happenings != school.happenings


def test_everything_happens_in_the_month(school: School) -> None:
    times = [event.occurred_at_us for event in school.happenings]
    assert min(times) >= END - DAYS * DAY_US
    assert max(times) <= END - MINUTE_US


def test_all_doors_are_used_and_every_event_is_delivered(school: School) -> None:
    sent = list(school.deliveries())
    assert {event.door for event in sent} == set(Door)
    ids = {event.message_id for event in school.happenings}
    assert len(ids) == len(school.happenings)
    assert {event.message_id for event in sent} == ids
    assert len(sent) > len(ids), "some are sent twice"
    assert [e.occurred_at_us for e in sent] != sorted(e.occurred_at_us for e in sent)


def test_identifiers_tell_visitors_apart(school: School) -> None:
    truth = Truth(school)
    for event in school.happenings:
        for namespace, prefix in (("user_id", ""), ("anonymous_id", ""), ("phone", "+86")):
            if value := getattr(event, namespace):
                assert truth.visitor_of(namespace, prefix + value) == event.visitor


def test_the_truth_is_what_the_visitors_did(school: School) -> None:
    truth = Truth(school)
    found = truth.high_intent(END)
    assert found
    for visitor in found:
        mine = [e for e in school.happenings if e.visitor == visitor]
        recent = [e for e in mine if END - 7 * DAY_US < e.occurred_at_us <= END]
        assert "attended_trial_lesson" in {e.name for e in recent}
        assert "purchased_course" not in {e.name for e in mine}
        assert len({e.properties.get("course_id") for e in recent if e.properties.get("paid")}) >= 3


def test_time_alone_empties_the_segment(school: School) -> None:
    truth = Truth(school)
    sizes = [len(truth.high_intent(END + days * DAY_US)) for days in range(9)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[3] > sizes[-1] == 0
