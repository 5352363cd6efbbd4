"""Computes transitions again from what the log had recorded, and finds those that do not follow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from services.activation.domain.journeys.catalogue import JourneyHistory
from services.activation.domain.journeys.looks import KnownPerson, look_at
from services.activation.domain.journeys.run import Question
from services.activation.domain.journeys.transitions import (
    EffectKey,
    RunAnswered,
    RunRecord,
    RunTransition,
    fold_transitions,
)
from services.kernel.time import MINUTE_US

#: How long after the instant of a look an attempt may have begun that the look has seen.
_LATE_US = 10 * MINUTE_US


class KnownTransition(NamedTuple):
    """A transition, and up to when facts were known for it."""

    known_us: int
    transition: RunTransition


class BegunEffect(NamedTuple):
    """An effect whose first attempt began at an instant."""

    begun_us: int
    run_id: bytes
    key: EffectKey


class Unjustified(NamedTuple):
    """A transition that does not follow."""

    run_id: bytes
    number: int
    problem: str


@dataclass(frozen=True)
class LoggedPerson:
    """What the log has of a person at an instant, for one journey."""

    #: With all facts that are known, and without records.
    person: KnownPerson
    #: Of all runs of the leaves that the person had then.
    transitions: Sequence[KnownTransition]
    begun: Sequence[BegunEffect]


def looks_of(transitions: Iterable[KnownTransition]) -> list[int]:
    """Return the instants of the looks that have made transitions, ascending."""
    return sorted({each.known_us for each in transitions})


def check_look(logged: LoggedPerson, history: JourneyHistory, known_us: int) -> list[Unjustified]:
    """Return the transitions of a look that do not follow from what was known then."""
    made = [t for t in logged.transitions if t.known_us == known_us]
    wanted: dict[bytes, list[RunTransition]] = {}
    for each in made:
        wanted.setdefault(each.transition.run_id, []).append(each.transition)
    try:
        records = fold_records(t for t in logged.transitions if t.known_us < known_us)
    except ValueError as error:
        first = made[0].transition
        return [Unjustified(first.run_id, first.number, str(error))]
    known = msgspec.structs.replace(
        logged.person, records=records, answers={**logged.person.answers, **_answers(made)}
    )
    problems: list[Unjustified] = []
    for begun in begun_then(logged.begun, known_us):
        try:
            look = look_at(msgspec.structs.replace(known, begun=begun), history, known_us)
        except (LookupError, ValueError) as error:
            first = made[0].transition
            return [Unjustified(first.run_id, first.number, str(error))]
        found = {run.record.run_id: list(run.transitions) for run in look.runs if run.transitions}
        problems = problems or _differences(wanted, found)
        if not _differences(wanted, found):
            return []
    return problems


def fold_records(transitions: Iterable[KnownTransition]) -> dict[bytes, RunRecord]:
    """Return the records of runs. Raises ValueError where transitions are missing."""
    records: dict[bytes, RunRecord] = {}
    for _, transition in sorted(
        transitions, key=lambda t: (t.transition.run_id, t.transition.number)
    ):
        record = fold_transitions(records.get(transition.run_id), [transition])
        if record is not None:
            records[transition.run_id] = record
    return records


def begun_then(
    begun: Sequence[BegunEffect], known_us: int
) -> Iterator[Mapping[bytes, set[EffectKey]]]:
    """Yield what a look may have seen as begun: at least what had begun at its instant."""
    seen: dict[bytes, set[EffectKey]] = {}
    later = []
    for each in sorted(begun):
        if each.begun_us <= known_us:
            seen.setdefault(each.run_id, set()).add(each.key)
        elif each.begun_us <= known_us + _LATE_US:
            later.append(each)
    yield seen
    for each in later:
        seen.setdefault(each.run_id, set()).add(each.key)
        yield seen


def _answers(transitions: Iterable[KnownTransition]) -> dict[Question, bool]:
    """Return the answers that transitions cite."""
    found: dict[Question, bool] = {}
    for _, transition in transitions:
        if isinstance(transition.change, RunAnswered):
            found |= dict(transition.change.answers)
    return found


def _differences(
    wanted: Mapping[bytes, list[RunTransition]], found: Mapping[bytes, list[RunTransition]]
) -> list[Unjustified]:
    problems = []
    for run_id, transitions in wanted.items():
        computed = {each.number: each for each in found.get(run_id, ())}
        for transition in transitions:
            if computed.get(transition.number) != transition:
                problem = "another transition follows"
                if transition.number not in computed:
                    problem = "nothing follows that makes it"
                problems.append(Unjustified(run_id, transition.number, problem))
    return problems
