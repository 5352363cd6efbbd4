"""Tests each rule of the education pack with cases on both sides."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pack_rules import NOW, Call, PackRules, before

PACK = PackRules.of("education", COUPON_URL="https://example.com/", COUPON_SECRET="whsec_YQ==")
HIGH_INTENT = "high-intent-trial"


def views(*courses: str, days: float = 1, paid: bool = True) -> list[Call]:
    return [before(days, "viewed_course_page", course_id=c, paid=paid) for c in courses]


@pytest.mark.parametrize(
    "name", ["viewed_course_page", "attended_trial_lesson", "consulted_support"]
)
def test_tag_follows_the_event_of_its_name(name: str) -> None:
    base = {"tag:viewed_course_page", "tag:attended_trial_lesson", "tag:consulted_support"}
    assert base & PACK.memberships([before(900, name)]) == {f"tag:{name}"}
    assert not base & PACK.memberships([before(1, f"{name}s"), before(1, "page")])


TRIAL = before(1, "attended_trial_lesson")
CASES = {
    "3 courses": ([TRIAL, *views("a", "b", "c")], True),
    "4 courses": ([TRIAL, *views("a", "b", "c", "d")], True),
    "2 courses": ([TRIAL, *views("a", "b")], False),
    "4 views of one course": ([TRIAL, *views("a", "a", "a", "a")], False),
    "one of 3 courses is free": ([TRIAL, *views("a", "b"), *views("c", paid=False)], False),
    "views of 7 days ago": ([TRIAL, *views("a", "b", "c", days=7)], False),
    "no trial": (views("a", "b", "c"), False),
    "trial of 7 days ago": ([before(7, "attended_trial_lesson"), *views("a", "b", "c")], False),
    "bought": ([TRIAL, *views("a", "b", "c"), before(0, "purchased_course")], False),
    "bought long ago": ([TRIAL, *views("a", "b", "c"), before(900, "purchased_course")], False),
}


@pytest.mark.parametrize("case", CASES)
def test_high_intent_needs_a_trial_three_courses_and_no_purchase(case: str) -> None:
    calls, expected = CASES[case]
    assert (HIGH_INTENT in PACK.memberships(calls)) is expected


def test_high_intent_ends_when_the_first_of_three_views_is_seven_days_old() -> None:
    calls = [TRIAL, *views("a"), *views("b", "c", days=0)]
    end = NOW + timedelta(days=6)
    assert HIGH_INTENT in PACK.memberships(calls, end - timedelta(microseconds=1))
    assert HIGH_INTENT not in PACK.memberships(calls, end)


BOUGHT = before(40, "purchased_course")
STAGES = {
    "visitor": ([before(1, "page")], "访客"),
    "quiet visitor": ([before(40, "page")], "访客"),
    "registered": ([before(1, "registered")], "潜在客户"),
    "viewed a course": ([before(1, "registered"), *views("a")], "意向用户"),
    "consulted": ([before(1, "consulted_support")], "意向用户"),
    "tried": ([*views("a"), TRIAL], "试听用户"),
    "bought": ([TRIAL, before(29.99, "purchased_course")], "学员"),
    "bought, and quiet for 30 days": ([BOUGHT, before(30, "page")], "沉默学员"),
    "back again": ([BOUGHT, before(1, "page")], "学员"),
}


@pytest.mark.parametrize("case", STAGES)
def test_each_edge_of_the_lifecycle_has_its_stage(case: str) -> None:
    calls, expected = STAGES[case]
    assert PACK.value("stage", "lifecycle", calls) == expected


def test_starter_tags_are_right() -> None:
    assert "tag:registered" in PACK.memberships([before(99, "registered")])
    assert "tag:first_purchase" in PACK.memberships([BOUGHT])
    assert "tag:first_purchase" not in PACK.memberships([BOUGHT, before(1, "purchased_course")])
    assert "tag:active" in PACK.memberships([before(29.99, "page")])
    assert "tag:active" not in PACK.memberships([before(30, "page")])
