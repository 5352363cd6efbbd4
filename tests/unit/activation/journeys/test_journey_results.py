"""Tests the results of journeys: who is divided how, who reached a goal, and how shares compare."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from services.activation.domain.journeys.looks import JourneyFact
from services.activation.domain.journeys.program import Program, compile_journey, event_subject
from services.activation.domain.journeys.results import (
    Difference,
    GroupCount,
    RunGroup,
    difference,
    groups_of,
    held_out_beside,
    is_converted,
)
from services.activation.domain.journeys.run import RunEnd, RunEnding, RunEntry
from services.activation.domain.journeys.transitions import RunRecord
from services.kernel.ids import FactId, LeafId
from services.kernel.journeys.contact_policy import ContactPolicy, parse_contact_policy
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.journeys.model import EventTrigger
from services.kernel.rules.ids import structure_id
from services.kernel.time import DAY_US

PERSONS = 100_000
SEND = {"to": "mail", "template": "t"}
FORM = {
    "id": "welcome",
    "enter": {"event": "registered", "hold_out": "10%"},
    "goal": [{"event": {"name": "paid", "same": "cart"}}],
    "steps": [
        {
            "split": {
                "id": "subject",
                "arms": [
                    {"name": "warm", "share": "45%", "steps": [{"send": {"id": "a", **SEND}}]},
                    {"name": "plain", "share": "35%", "steps": [{"send": {"id": "b", **SEND}}]},
                    {"name": "none", "share": "20%", "hold_out": True},
                ],
            }
        },
        {"wait": "1d"},
        {"send": {"id": "c", **SEND}},
    ],
}
POLICY = parse_contact_policy({"hold_out": {"share": "2%", "salt": "2026"}})


def program_of(**changes: object) -> Program:
    return compile_journey(replace(parse_journey({**FORM, **changes}), version=1))


def entry(number: int = 0, at_us: int = 0) -> RunEntry:
    leaf = LeafId(number.to_bytes(16, "big"))
    return RunEntry(at_us, FactId(bytes(16)), leaf, at_us, {"cart": "c1"})


def test_shares_of_groups_are_within_their_binomial_bounds_and_survive_edits() -> None:
    """T23, with 100,000 persons."""
    program = program_of()
    edited = replace(program_of(steps=[{"wait": "2h"}, *FORM["steps"]]))  # type: ignore[misc]
    counts = Counter[RunGroup]()
    for number in range(PERSONS):
        groups = groups_of(program, entry(number), POLICY)
        counts.update(groups)
        if number < 1_000:
            assert groups_of(edited, entry(number, 5), POLICY) == groups
    inside = 0.9 * 0.98
    expected = {
        RunGroup("", "hold_out", True): 0.1,
        RunGroup("", "contact_policy", True): 0.9 * 0.02,
        RunGroup("", "", False): inside,
        RunGroup("subject", "warm", False): inside * 0.45,
        RunGroup("subject", "plain", False): inside * 0.35,
        RunGroup("subject", "none", True): inside * 0.2,
    }
    assert counts.keys() == expected.keys()
    for group, share in expected.items():
        deviation = math.sqrt(PERSONS * share * (1 - share))
        assert abs(counts[group] - PERSONS * share) < 5 * deviation, group


def fact(name: str, at_us: int, cart: str = "c1") -> JourneyFact:
    program = program_of()
    [goal] = program.journey.goals
    assert isinstance(goal, EventTrigger)
    subject = event_subject(structure_id(goal.events)) if name == "paid" else ("event", "0")
    return JourneyFact(
        LeafId(bytes(16)),
        FactId(bytes([at_us % 251]) * 16),
        at_us,
        at_us,
        (subject,),
        {"cart": cart},
    )


def record(ending: RunEnding | None = None) -> RunRecord:
    return RunRecord(bytes(16), 1, entry(), entry(), ending=ending)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ([], False),
        ([fact("paid", DAY_US)], True),
        ([fact("other", DAY_US)], False),
        ([fact("paid", 0)], False),
        ([fact("paid", 30 * DAY_US)], True),
        ([fact("paid", 30 * DAY_US + 1)], False),
        ([fact("paid", DAY_US, cart="c2")], False),
    ],
)
def test_goal_within_the_span_after_the_entry_is_a_conversion_of_any_run(
    facts: list[JourneyFact], expected: bool
) -> None:
    ends = (None, RunEnding(RunEnd.HELD_OUT, 0), RunEnding(RunEnd.DONE, 5))
    for ending in ends:
        found = is_converted(program_of(), record(ending), facts, 30 * DAY_US)
        assert found is expected


def test_run_that_ended_by_its_goal_is_converted_also_when_the_fact_is_deleted() -> None:
    ended = record(RunEnding(RunEnd.GOAL, DAY_US, FactId(bytes(16))))
    assert is_converted(program_of(), ended, [], DAY_US)
    assert not is_converted(program_of(), ended, [], DAY_US - 1)


def test_arms_are_compared_with_those_held_out_beside_them() -> None:
    counts = {
        RunGroup("", "", False): GroupCount(900, 90),
        RunGroup("", "hold_out", True): GroupCount(60, 3),
        RunGroup("", "contact_policy", True): GroupCount(40, 2),
        RunGroup("subject", "warm", False): GroupCount(500, 50),
        RunGroup("other", "a", False): GroupCount(500, 50),
    }
    found = held_out_beside(RunGroup("", "", False), counts)
    assert found is not None
    assert found.value == pytest.approx(0.05)
    assert held_out_beside(RunGroup("", "hold_out", True), counts) is None
    assert held_out_beside(RunGroup("subject", "warm", False), counts) is None


def test_margin_is_half_of_the_interval_that_covers_the_true_difference() -> None:
    # Agresti and Caffo (2000), by hand: shares 11/102 and 6/102.
    found = difference(GroupCount(100, 10), GroupCount(100, 5))
    expected = 1.959964 * math.sqrt((11 / 102 * 91 / 102 + 6 / 102 * 96 / 102) / 102)
    assert found == Difference(pytest.approx(0.05), pytest.approx(expected))
    sizes = (1, 10, 100, 1_000)
    widths = [difference(GroupCount(n, 0), GroupCount(n, 0)) for n in sizes]
    assert all(a is not None and b is not None and a.margin > b.margin for a, b in pairwise(widths))
    assert difference(GroupCount(0, 0), GroupCount(5, 1)) is None


def test_workspace_without_hold_out_has_one_group() -> None:
    plain = program_of(enter={"event": "registered"}, steps=[{"send": {"id": "a", **SEND}}])
    assert groups_of(plain, entry(), ContactPolicy()) == [RunGroup("", "", False)]
