"""Decides when a replay of a journey looks at a person: not where nothing can follow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from services.activation.domain.journeys.catalogue import JourneyHistory
from services.activation.domain.journeys.looks import JourneyFact, Look, RunLook, RunState


def first_entry_us(facts: Iterable[JourneyFact], history: JourneyHistory) -> int | None:
    """Return when the first fact was learnt that may begin a run; None = nothing ever follows."""
    entries = history.entries
    instants = [fact.learnt_at_us for fact in facts if not entries.isdisjoint(fact.subjects)]
    return min(instants, default=None)


def by_instant(facts: Iterable[JourneyFact]) -> Mapping[int, Sequence[JourneyFact]]:
    """Return facts by when they were learnt."""
    found: defaultdict[int, list[JourneyFact]] = defaultdict(list)
    for fact in facts:
        found[fact.learnt_at_us].append(fact)
    return found


def can_change(
    look: Look, facts: Iterable[JourneyFact], history: JourneyHistory, at_us: int
) -> bool:
    """Return whether more can follow for a person at an instant than a look has found before.

    `facts`: those that were learnt since. The versions of the journey, and the leaves of the
    person, are those of the look; its effects have begun.
    """
    for run in look.runs:
        # What a look has planned has begun by the next one, which may refuse an entry for it.
        if run.transitions or run.state is RunState.ASLEEP:
            return True
        if run.due_us is not None and run.due_us <= at_us:
            return True
    version = history.at(at_us)
    if version is None:
        return False
    return any(
        not version.program.entries.isdisjoint(fact.subjects)
        or any(_concerns(run, fact, history) for run in look.runs)
        for fact in facts
    )


def _concerns(run: RunLook, fact: JourneyFact, history: JourneyHistory) -> bool:
    """Return whether a fact may change the way of a run that is not due.

    What comes after a run stands has no part in the way to there. From there on it matters now
    where the run waits for it; else the run comes to it when it is due.
    """
    ending = run.record.ending
    if ending is not None:
        return fact.occurred_at_us <= ending.at_us
    if fact.occurred_at_us <= run.position.at_us:
        return True
    program = history.program(run.record.version)
    return not program.awaited_at(run.position.step_id).isdisjoint(fact.subjects)
