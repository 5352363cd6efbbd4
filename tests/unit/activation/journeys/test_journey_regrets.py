"""What follows a regret: steps that are taken where a message should not have been sent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.activation.domain.journeys.persons import PersonPlay, PersonRun, amends_of
from services.activation.domain.journeys.program import compile_journey
from services.activation.domain.journeys.regrets import RegretKind, person_regrets
from services.activation.domain.journeys.run import (
    PlannedEffect,
    RunEnd,
    RunEnding,
    RunEntry,
    RunPlay,
    RunPosition,
)
from services.activation.domain.journeys.transitions import RunRecord
from services.kernel.ids import FactId, LeafId
from services.kernel.journeys.journey_form import parse_journey

FORM: dict[str, Any] = {
    "id": "j",
    "enter": {"event": "entered"},
    "goal": [{"event": "paid"}],
    "steps": [{"wait": "2h"}, {"put": {"tag": "t"}, "id": "sent"}],
    "on_goal": [{"put": {"tag": "t"}, "id": "bought"}],
    "regret": {"unwanted": [{"put": {"tag": "t"}, "id": "sorry"}]},
}
PROGRAM = compile_journey(replace(parse_journey(FORM), version=1))
ENTRY = RunEntry(0, FactId(b"e" * 16), LeafId(b"l" * 16), 0)
OVER = RunPosition("", 20)
#: The step is sent at 20, and what follows a goal at 50.
PLANNED = tuple(
    PlannedEffect(step_id, 0, at_us, OVER) for step_id, at_us in (("sent", 20), ("bought", 50))
)
RECORD = RunRecord(b"r" * 16, 3, ENTRY, ENTRY, planned=PLANNED, version=1)
SENT, BOUGHT = ("sent", 0), ("bought", 0)


def amends(goal_us: int | None, *begun: tuple[str, int], ended: bool = True) -> list[str]:
    """Return the steps that follow a run whose goal took place at an instant."""
    fixed = RECORD.fixed(begun, PROGRAM, newest=1)
    ending = RunEnding(RunEnd.DONE, 20) if ended else None
    goal = None if goal_us is None else RunEnding(RunEnd.GOAL, goal_us, FactId(b"g" * 16))
    played = RunPlay((), (), OVER, ending=ending, overtaken_by=goal)
    return [each.step_id for each in amends_of(PROGRAM, played, fixed and fixed.begun_us)]


@pytest.mark.parametrize(
    ("goal_us", "begun", "expected"),
    [
        (10, [SENT], ["sorry"]),
        # A goal goes before everything else of its instant.
        (20, [SENT], ["sorry"]),
        (21, [SENT], []),
        (10, [], []),
        (None, [SENT], []),
        # What follows a goal is nothing that the goal should have stopped.
        (50, [SENT, BOUGHT], []),
        (10, [SENT, BOUGHT], ["sorry"]),
    ],
)
def test_steps_follow_what_a_goal_of_before_should_have_stopped(
    goal_us: int | None, begun: list[tuple[str, int]], expected: list[str]
) -> None:
    assert amends(goal_us, *begun) == expected
    assert amends(goal_us, *begun, ended=False) == []


def test_steps_that_follow_a_regret_are_none() -> None:
    sorry = PlannedEffect("sorry", 0, 20, OVER)
    record = RunRecord(b"r" * 16, 3, ENTRY, ENTRY, planned=(PLANNED[0], sorry), version=1)
    begun = {record.run_id: [SENT, ("sorry", 0)]}
    nothing = PersonPlay((PersonRun(ENTRY, ENTRY, RunPlay((), (), OVER)),), (), ())
    found = person_regrets(PROGRAM, {record.run_id: record}, begun, {}, nothing, [])
    assert [(each.kind, each.message[1]) for each in found] == [(RegretKind.UNWANTED, "sent")]
