"""Compares what became of the persons of a journey: by its arms, and with those held out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from services.activation.domain.journeys.looks import JourneyFact
from services.activation.domain.journeys.player import arm_of, is_held_out
from services.activation.domain.journeys.program import Program
from services.activation.domain.journeys.run import PersonFacts, RunEnd, RunEntry, RunFact
from services.activation.domain.journeys.transitions import RunRecord
from services.activation.domain.policy import gate
from services.kernel.journeys.contact_policy import ContactPolicy
from services.kernel.journeys.model import JourneyStep, SplitStep
from services.kernel.journeys.tree import arms_of

#: The names of the groups of a whole journey that get no message.
HELD_OUT_OF_JOURNEY: Final = "hold_out"
HELD_OUT_OF_ALL: Final = "contact_policy"
#: How many standard errors 95 % of a normal distribution are within.
_NORMAL_95: Final = 1.959964


class RunGroup(NamedTuple):
    """The runs that a journey, or one split of it, treats alike."""

    #: The split; empty = the whole journey.
    step_id: str
    #: The arm; of the whole journey "" or why the runs are held out.
    arm: str
    is_held_out: bool


@dataclass(slots=True)
class GroupCount:
    """How many runs a group has, and how many of their persons reached a goal."""

    runs: int = 0
    converted: int = 0


class Difference(NamedTuple):
    """How much greater one share is than another, and the half of its interval of 95 %."""

    value: float
    margin: float


def groups_of(program: Program, entry: RunEntry, policy: ContactPolicy) -> list[RunGroup]:
    """Return the groups of a run by the hashes that divide it.

    It counts in the arm of a split that it has not come to, too: which runs come to a split may
    depend on what came before, and only groups that chance alone divides can be compared.
    """
    if is_held_out(program, entry):
        return [RunGroup("", HELD_OUT_OF_JOURNEY, True)]
    if gate.is_held_out(policy, program.journey.purpose, entry.leaf_id):
        return [RunGroup("", HELD_OUT_OF_ALL, True)]
    return [RunGroup("", "", False), *_arms(program, entry, program.journey.steps)]


def _arms(program: Program, entry: RunEntry, steps: Sequence[JourneyStep]) -> Iterator[RunGroup]:
    for step in steps:
        if isinstance(step, SplitStep):
            arm = step.arms[arm_of(program, step, entry)]
            yield RunGroup(step.id, arm.name, arm.hold_out)
            if arm.hold_out:
                return
            yield from _arms(program, entry, arm.steps)
        else:
            for inner in arms_of(step):
                yield from _arms(program, entry, inner)


def is_converted(
    program: Program, record: RunRecord, facts: Iterable[JourneyFact], within_us: int
) -> bool:
    """Return whether a person reached a goal of the journey within a span after the entry of a run.

    It does not matter whether the run was open then, so runs that are held out count as others do.
    """
    entry, ending = record.first, record.ending
    until_us = entry.occurred_at_us + within_us
    if ending is not None and ending.reason is RunEnd.GOAL and ending.at_us <= until_us:
        return True
    known = PersonFacts(
        RunFact(fact.occurred_at_us, fact.fact_id, subject, fact.properties)
        for fact in facts
        for subject in fact.subjects
    )
    return any(known.first(goal, entry.occurred_at_us, until_us, entry) for goal in program.goals)


def held_out_beside(group: RunGroup, counts: Mapping[RunGroup, GroupCount]) -> Difference | None:
    """Return the difference of a group's conversion from that of those held out beside it."""
    if group.is_held_out:
        return None
    beside = [
        count
        for other, count in counts.items()
        if other.is_held_out and other.step_id == group.step_id
    ]
    held = GroupCount(sum(c.runs for c in beside), sum(c.converted for c in beside))
    return difference(counts[group], held)


def difference(one: GroupCount, other: GroupCount) -> Difference | None:
    """Return the difference of two shares (Agresti and Caffo); None = a group is empty."""
    if not one.runs or not other.runs:
        return None
    shares = [((c.converted + 1) / (c.runs + 2), c.runs + 2) for c in (one, other)]
    error = math.sqrt(sum(share * (1 - share) / runs for share, runs in shares))
    value = one.converted / one.runs - other.converted / other.runs
    return Difference(value, _NORMAL_95 * error)
