"""Compares what a journey has sent to a person with what it should have sent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from typing import NamedTuple, TypeAlias

from services.activation.domain.journeys.looks import JourneyFact
from services.activation.domain.journeys.persons import PersonPlay, entry_key
from services.activation.domain.journeys.program import Program
from services.activation.domain.journeys.transitions import RunRecord
from services.kernel.ids import FactId

#: A message to a person: the key of its run, its step and the visit of the step.
MessageKey: TypeAlias = tuple[str, str, int]


class RegretKind(Enum):
    """How what was sent differs from what should have been."""

    UNWANTED = "unwanted"
    MISSED = "missed"
    SHIFTED = "shifted"


class Regret(NamedTuple):
    """A difference between what was sent and what should have been; it follows from late facts."""

    #: The earlier of both instants.
    at_us: int
    kind: RegretKind
    message: MessageKey
    #: Unix microseconds; None = it was not, or should not have been.
    sent_at_us: int | None
    ideal_at_us: int | None
    #: The fact that was learnt after it and decides what should have been; None = another regret
    #: is the cause.
    fact_id: FactId | None = None


def messages_of(program: Program, played: PersonPlay) -> dict[MessageKey, list[int]]:
    """Return the instants of the effects of a person's runs, ascending, by message."""
    found: dict[MessageKey, list[int]] = {}
    for run in played.runs:
        key = entry_key(program, run.first) or ""
        for effect in run.effects:
            found.setdefault((key, *effect.key), []).append(effect.at_us)
    return {message: sorted(instants) for message, instants in found.items()}


def regrets(
    sent: Mapping[MessageKey, Iterable[int]], ideal: Mapping[MessageKey, Iterable[int]]
) -> list[Regret]:
    """Return the differences, the earliest first.

    A journey that a person may run again sends a step several times: equal instants belong
    together, and the others in their order.
    """
    found = []
    for message in sent.keys() | ideal.keys():
        real, wanted = set(sent.get(message, ())), set(ideal.get(message, ()))
        surplus, lacking = sorted(real - wanted), sorted(wanted - real)
        pairs = min(len(surplus), len(lacking))
        for at, due in zip(surplus, lacking, strict=False):
            found.append(Regret(min(at, due), RegretKind.SHIFTED, message, at, due))
        for at in surplus[pairs:]:
            found.append(Regret(at, RegretKind.UNWANTED, message, at, None))
        for due in lacking[pairs:]:
            found.append(Regret(due, RegretKind.MISSED, message, None, due))
    return sorted(found, key=lambda each: (each.at_us, each.message))


def person_regrets(
    program: Program,
    records: Mapping[bytes, RunRecord],
    begun: Mapping[bytes, Collection[tuple[str, int]]],
    held_back: Mapping[bytes, Collection[tuple[str, int]]],
    ideal: PersonPlay,
    facts: Iterable[JourneyFact],
) -> list[Regret]:
    """Return what was sent to a person otherwise than it should have been, the earliest first.

    `begun`: the effects whose attempts have begun, by run. `held_back`: those that the gate has
    suppressed or holds, and that are on their way; they are not missed. What follows a regret is
    itself none. `facts`: all that are known of the person.
    """
    amends = {step.id for step in program.journey.regret.unwanted}
    sent: dict[MessageKey, list[int]] = {}
    planned: set[tuple[MessageKey, int]] = set()
    for run_id, record in records.items():
        key = entry_key(program, record.first) or ""
        for effect in record.planned:
            message = (key, *effect.key)
            if effect.step_id in amends:
                continue
            if effect.key in begun.get(run_id, ()):
                sent.setdefault(message, []).append(effect.at_us)
            elif effect.key in held_back.get(run_id, ()):
                planned.add((message, effect.at_us))
    found = regrets(sent, messages_of(program, ideal))
    deciding = _deciding_facts(ideal)
    decided = [fact for fact in facts if fact.fact_id in deciding]
    return [
        regret._replace(fact_id=_learnt_after(decided, regret.at_us))
        for regret in found
        if regret.ideal_at_us is None or (regret.message, regret.ideal_at_us) not in planned
    ]


def _deciding_facts(ideal: PersonPlay) -> set[FactId]:
    """Return the facts that have begun or ended the runs of a person, or decided an arm."""
    found: set[FactId | None] = set()
    for run in ideal.runs:
        found |= {run.first.fact_id, run.start.fact_id}
        found |= {arm.fact_id for arm in run.play.arms}
        found |= {end.fact_id for end in (run.play.ending, run.play.overtaken_by) if end}
    return {fact_id for fact_id in found if fact_id is not None}


def _learnt_after(facts: Iterable[JourneyFact], at_us: int) -> FactId | None:
    """Return the first fact that had happened at an instant and was learnt after it."""
    late = [fact for fact in facts if fact.occurred_at_us <= at_us < fact.recorded_at_us]
    return min(late, key=lambda f: (f.occurred_at_us, f.fact_id)).fact_id if late else None
