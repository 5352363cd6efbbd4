"""A new version of a journey does with the people inside what it says, and sends no step twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from oracle.random_journeys import BEGIN, HOUR_US

from services.activation.domain.journeys.edits import check_edit, count_edit, edit_run, stop_run
from services.activation.domain.journeys.persons import PersonPlay, PersonRun, play_person
from services.activation.domain.journeys.program import compile_journey, event_subject
from services.activation.domain.journeys.run import (
    ContactHours,
    PersonFacts,
    RunEnd,
    RunEntry,
    RunFact,
)
from services.activation.domain.journeys.transitions import (
    RunChange,
    RunEnded,
    RunMoved,
    RunRecord,
    RunTransition,
    decide,
    fold_transitions,
    run_id,
)
from services.kernel.ids import FactId, LeafId, WorkspaceId
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.journeys.model import Journey, PeopleInside
from services.kernel.local_time import ZoneHistory
from services.kernel.rules.filters import EventFilter
from services.kernel.rules.ids import structure_id

HOURS = ContactHours(ZoneHistory("UTC"), {})


def put(id_: str) -> dict[str, Any]:
    return {"put": {"tag": "t"}, "id": id_}


def journey(version: int, *steps: Any, **more: Any) -> Journey:
    form = {"id": "j", "enter": {"event": "entered"}, "steps": list(steps), **more}
    return Journey(**{**_attributes(parse_journey(form)), "version": version})


def _attributes(of: Journey) -> dict[str, Any]:
    return {name: getattr(of, name) for name in Journey.__dataclass_fields__}


def wait(id_: str, span: str) -> dict[str, Any]:
    return {"wait": span, "id": id_}


OLD = journey(1, put("a"), wait("w", "4h"), put("b"), wait("v", "4h"), put("c"))


class Worker:
    """A worker with the log of one run, which looks at instants and edits it."""

    def __init__(self, *versions: Journey) -> None:
        self.programs = {of.version: compile_journey(of) for of in versions}
        self.newest = min(self.programs)
        self.entry = RunEntry(BEGIN, FactId(b"e" * 16), LeafId(b"l" * 16), BEGIN)
        self.facts: list[RunFact] = []
        self.record: RunRecord | None = None
        self.sent: list[tuple[str, float]] = []
        self.begun: set[tuple[str, int]] = set()

    def look(self, hours: float, is_paused: bool = False) -> PersonRun:
        """Play the run, and send what is outstanding."""
        now = BEGIN + int(hours * HOUR_US)
        run = self.played(now).runs[0]
        newest = self.programs[self.newest]
        id_ = run_id(WorkspaceId("w"), newest, self.entry)
        changes = decide(self.record, id_, run, self.begun, {}, self.newest)
        self.record = fold_transitions(self.record, changes)
        if not is_paused:
            for effect in run.outstanding:
                assert effect.key not in self.begun
                self.begun.add(effect.key)
                self.sent.append((effect.step_id, (effect.at_us - BEGIN) / HOUR_US))
        return run

    def played(self, now: int) -> PersonPlay:
        fixed = []
        if self.record is not None:
            program = self.programs[self.record.version]
            own = self.record.fixed(self.begun, program, self.newest)
            fixed = [] if own is None else [own]
        newest = self.programs[self.newest]
        facts = PersonFacts(self.facts)
        return play_person(newest, [self.entry], facts, {}, HOURS, now, fixed)

    def edit(self, hours: float, version: int) -> None:
        """Define a version of the journey."""
        run = self.look(hours)
        self.newest = version
        change = edit_run(run, self.programs[version], BEGIN + int(hours * HOUR_US))
        self.append(change)

    def append(self, change: RunChange | None) -> None:
        assert self.record is not None
        if change is not None:
            transition = RunTransition(self.record.run_id, self.record.number + 1, change)
            self.record = fold_transitions(self.record, [transition])


@pytest.mark.parametrize("at", [1, 4, 5])
def test_run_that_stays_goes_by_its_own_version(at: float) -> None:
    new = journey(2, put("x"), wait("w", "1h"), put("y"))
    worker = Worker(OLD, new)
    worker.edit(at, 2)
    for hours in (5, 8, 9):
        worker.look(hours)
    assert worker.sent == [("a", 0), ("b", 4), ("c", 8)]


def test_run_that_stays_and_has_sent_nothing_goes_by_its_own_version() -> None:
    worker = Worker(journey(1, wait("w", "4h"), put("b")), journey(2, wait("w", "2h"), put("y")))
    worker.edit(1, 2)
    for hours in (2, 3, 4):
        worker.look(hours)
    assert worker.sent == [("b", 4)]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        # It stands before `w` since 0: the shorter wait counts from then.
        (1, [("a", 0), ("b", 3), ("c", 7)]),
        # It stands before `v` since 4.
        (5, [("a", 0), ("b", 4), ("c", 8)]),
    ],
)
def test_run_that_moves_counts_its_wait_from_when_it_came_to_the_step(
    at: float, expected: list[tuple[str, float]]
) -> None:
    new = journey(
        *(2, put("a"), wait("w", "3h"), put("b"), wait("v", "4h"), put("c")), people_inside="move"
    )
    worker = Worker(OLD, new)
    worker.edit(at, 2)
    for hours in (5, 6, 7, 8, 9):
        worker.look(hours)
    assert worker.sent == expected


def test_run_that_moves_before_a_step_that_it_has_sent_does_not_send_it_again() -> None:
    new = journey(2, wait("w", "5h"), put("a"), wait("v", "1h"), put("c"), people_inside="move")
    worker = Worker(OLD, new)
    worker.edit(1, 2)
    for hours in (5, 6, 7):
        worker.look(hours)
    assert worker.sent == [("a", 0), ("c", 6)]


def test_effect_that_was_planned_before_a_move_stays_planned() -> None:
    new = journey(2, wait("w", "5h"), put("c"), people_inside="move")
    worker = Worker(OLD, new)
    run = worker.look(1, is_paused=True)
    worker.newest = 2
    worker.append(edit_run(run, worker.programs[2], BEGIN + HOUR_US))
    worker.look(5, is_paused=True)
    assert worker.record is not None
    assert [effect.key for effect in worker.record.planned] == [("a", 0), ("c", 0)]


def test_what_a_moved_run_has_sent_since_is_fixed_as_well() -> None:
    steps = (put("a"), wait("w", "3h"), put("b"), wait("v", "4h"), put("c"))
    goal = [{"event": "paid"}]
    new = journey(2, *steps, goal=goal, people_inside="move")
    worker = Worker(journey(1, *steps, goal=goal), new)
    worker.edit(1, 2)
    worker.look(3)
    paid = event_subject(structure_id(EventFilter.of("paid")))
    worker.facts.append(RunFact(BEGIN + 2 * HOUR_US, FactId(b"p" * 16), paid, {}))
    run = worker.look(5)
    assert worker.sent == [("a", 0), ("b", 3)]
    assert run.play.ending is not None
    assert run.play.ending[:2] == (RunEnd.GOAL, BEGIN + 3 * HOUR_US)


def test_run_whose_step_is_gone_moves_to_the_named_one() -> None:
    moved = {"people_inside": "move", "moved_to": {"w": "v", "b": "v"}}
    new = journey(2, put("a"), wait("v", "6h"), put("c"), **moved)
    assert check_edit(OLD, new) == []
    worker = Worker(OLD, new)
    worker.edit(1, 2)
    for hours in (4, 6):
        worker.look(hours)
    assert worker.sent == [("a", 0), ("c", 6)]


def test_edit_that_leaves_runs_nowhere_is_refused() -> None:
    new = journey(2, put("a"), wait("v", "6h"), people_inside="move")
    assert [each.at for each in check_edit(OLD, new)] == ["w", "b", "c"]
    stays = journey(2, put("a"), wait("v", "6h"))
    assert check_edit(OLD, stays) == []


def test_run_that_moves_into_a_repetition_takes_its_rest() -> None:
    repeat = {"repeat": {"id": "r", "times": 2, "steps": [wait("w", "4h"), put("b")]}}
    new = journey(2, put("a"), repeat, put("c"), wait("v", "1h"), people_inside="move")
    worker = Worker(OLD, new)
    worker.edit(1, 2)
    for hours in (4, 8, 9):
        worker.look(hours)
    assert worker.sent == [("a", 0), ("b", 4), ("b", 8), ("c", 8)]


def test_run_that_leaves_ends_at_the_edit_for_good() -> None:
    worker = Worker(OLD, journey(2, put("x"), people_inside="leave"))
    worker.edit(1, 2)
    for hours in (4, 8):
        run = worker.look(hours)
        assert run.play.ending is not None
        assert run.play.ending[:2] == (RunEnd.EDITED, BEGIN + HOUR_US)
    assert worker.sent == [("a", 0)]
    assert worker.record is not None
    assert worker.record.number == 3  # began, planned, ended


def test_run_that_has_ended_is_not_changed() -> None:
    worker = Worker(OLD)
    for hours in (0, 4, 8):
        run = worker.look(hours)
    for inside in ("stay", "move", "leave"):
        new = compile_journey(journey(2, put("a"), people_inside=inside))
        assert edit_run(run, new, BEGIN) is None
    assert stop_run(run, BEGIN) is None


def test_stopped_run_sends_nothing_more_and_no_goal_reopens_it() -> None:
    worker = Worker(journey(1, wait("w", "4h"), put("b"), goal=[{"event": "paid"}]))
    change = stop_run(worker.look(1), BEGIN + HOUR_US)
    assert isinstance(change, RunEnded)
    worker.append(change)
    paid = event_subject(structure_id(EventFilter.of("paid")))
    worker.facts.append(RunFact(BEGIN + 2 * HOUR_US, FactId(b"p" * 16), paid, {}))
    run = worker.look(5)
    assert run.play.ending is not None
    assert run.play.ending.reason is RunEnd.STOPPED
    assert worker.sent == []


def test_counts_of_an_edit_are_what_then_happens() -> None:
    runs = [Worker(OLD).look(hours) for hours in (0, 1, 4, 5, 8)]
    open_runs = Counter(run.play.position.step_id for run in runs if run.play.ending is None)
    assert open_runs == {"w": 2, "v": 2}
    steps = [put("a"), wait("w", "1h"), put("b"), wait("z", "1h"), put("c")]
    for inside in ("stay", "move", "leave"):
        new = journey(2, *steps, people_inside=inside, moved_to={"v": "z"})
        counted = count_edit(open_runs, new)
        assert sum(each.runs for each in counted) == 4
        changes = [edit_run(run, compile_journey(new), BEGIN) for run in runs]
        moved = Counter(
            c.position.step_id for c in changes if isinstance(c, RunMoved) if c.position
        )
        assert moved == {each.target: each.runs for each in counted if each.target}
        ended = sum(isinstance(change, RunEnded) for change in changes)
        assert ended == sum(each.runs for each in counted if each.what is PeopleInside.LEAVE)
