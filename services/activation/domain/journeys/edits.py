"""Decides what a new version of a journey, or its stop, does with the runs that are open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from services.activation.domain.journeys.persons import PersonRun
from services.activation.domain.journeys.program import Program
from services.activation.domain.journeys.run import RunEnd, RunEnding, RunPosition
from services.activation.domain.journeys.transitions import RunEnded, RunMoved
from services.kernel.journeys.model import Journey, PeopleInside
from services.kernel.journeys.naming import JourneyProblem
from services.kernel.journeys.tree import walk_steps


class StepEdit(NamedTuple):
    """What a new version does with the open runs that stand before a step."""

    step_id: str
    runs: int
    what: PeopleInside
    #: The step of the new version that they move to; empty = they do not move.
    target: str


def check_edit(old: Journey, new: Journey) -> list[JourneyProblem]:
    """Return the steps of the old version from which a run could not move to the new one."""
    if new.people_inside is not PeopleInside.MOVE:
        return []
    ids = {step.id for step in walk_steps(new.steps)}
    problems = []
    for step in walk_steps(old.steps):
        target = _target(step.id, new)
        if target not in ids:
            remedy = f"write `moved_to: {{{step.id}: STEP}}` with a step of the new version"
            problems.append(
                JourneyProblem(step.id, "runs stand here, and the step is gone", remedy)
            )
    return problems


def edit_run(run: PersonRun, new: Program, at_us: int) -> RunMoved | RunEnded | None:
    """Return how a new version changes a run at an instant; None = the run stays as it is.

    The wait for which a moved run has come to its step counts again from when it came there.
    """
    if run.play.ending is not None:
        return None
    match new.journey.people_inside:
        case PeopleInside.STAY:
            return None
        case PeopleInside.LEAVE:
            return RunEnded(RunEnding(RunEnd.EDITED, at_us))
        case PeopleInside.MOVE:
            return RunMoved(new.journey.version, _moved(run.play.position, new))


def stop_run(run: PersonRun, at_us: int) -> RunEnded | None:
    """Return how the stop of a journey changes a run; None = the run is over."""
    if run.play.ending is not None:
        return None
    return RunEnded(RunEnding(RunEnd.STOPPED, at_us))


def count_edit(open_runs: Mapping[str, int], new: Journey) -> list[StepEdit]:
    """Return what a new version does with the open runs, by the steps before which they stand."""
    what = new.people_inside
    return [
        StepEdit(step_id, runs, what, _target(step_id, new) if what is PeopleInside.MOVE else "")
        for step_id, runs in sorted(open_runs.items())
    ]


def _moved(position: RunPosition, new: Program) -> RunPosition:
    """Return the position in a new version that is that of an old one."""
    step_id = _target(position.step_id, new.journey)
    loops = new.nodes[new.numbers[step_id]].loops
    # A repetition that the old version did not have has begun once.
    counts = {loop.step_id: position.counts.get(loop.step_id, 1) for loop in loops}
    if step_id in position.counts:  # it stands before a repetition that has begun
        counts[step_id] = position.counts[step_id]
    return RunPosition(step_id, position.at_us, counts, position.coupons, position.has_waited)


def _target(step_id: str, new: Journey) -> str:
    return new.moved_to.get(step_id, step_id)
