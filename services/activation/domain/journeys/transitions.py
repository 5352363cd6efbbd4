"""Decides which transitions of a run follow from what was played, and folds them into its record.

A transition is a fact. Its id is a hash of the run and of its number in the run, so the log accepts
one content for each number: of two workers that disagree, one is refused and reads the run again.
The record of a run is the fold of its transitions, and of nothing else.

What touched the outside is fixed: the effects up to the last one whose attempt has begun. Those
behind it are planned again each time, and withdrawn where they do not follow any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from typing import Final, TypeAlias

import msgspec

from services.activation.domain.journeys.persons import FixedRun, PersonRun, entry_key
from services.activation.domain.journeys.program import Program
from services.activation.domain.journeys.run import (
    PlannedEffect,
    Question,
    RunEnd,
    RunEnding,
    RunEntry,
    RunPosition,
)
from services.kernel.ids import FactId, WorkspaceId, hash_id

#: The ends that no fact takes back.
_BY_EDIT: Final = (RunEnd.EDITED, RunEnd.STOPPED)
#: The step and the visit of an effect of a run.
EffectKey: TypeAlias = tuple[str, int]


class WithdrawalReason(Enum):
    """Why a planned effect does not follow any more."""

    #: A goal or a leave has come before its attempt.
    OVERTAKEN = "overtaken"
    #: Another run of the person goes before its run.
    ASLEEP = "asleep"
    #: Something that was learnt later has changed the way of the run.
    REVISED = "revised"


class RunBegan(msgspec.Struct, frozen=True, gc=False):
    """An entry has begun the run."""

    entry: RunEntry
    #: The version of the journey.
    version: int


class RunRestarted(msgspec.Struct, frozen=True, gc=False):
    """Another entry has begun the run again, or another one is known to be its first."""

    first: RunEntry
    start: RunEntry


class RunAnswered(msgspec.Struct, frozen=True, gc=False):
    """Rules were evaluated that decide the way of the run."""

    answers: tuple[tuple[Question, bool], ...]


class EffectsPlanned(msgspec.Struct, frozen=True, gc=False):
    """The run asks for effects, in this order."""

    effects: tuple[PlannedEffect, ...]


class EffectsWithdrawn(msgspec.Struct, frozen=True, gc=False):
    """Effects that were planned do not follow any more; no attempt of them has begun."""

    keys: tuple[EffectKey, ...]
    reason: WithdrawalReason
    #: The goal or the leave; None = another reason.
    fact_id: FactId | None = None


class RunEnded(msgspec.Struct, frozen=True, gc=False):
    """The run has ended, or has ended otherwise than before."""

    ending: RunEnding


class RunMoved(msgspec.Struct, frozen=True, gc=False):
    """An edit has moved the run to another version of the journey."""

    version: int
    #: Where the run goes on; None = it is played from its entry.
    position: RunPosition | None


class RunReopened(msgspec.Struct, frozen=True, gc=False):
    """The run has not ended after all, as what ended it belongs to another person."""


RunChange: TypeAlias = (
    RunBegan
    | RunRestarted
    | RunAnswered
    | EffectsPlanned
    | EffectsWithdrawn
    | RunMoved
    | RunEnded
    | RunReopened
)


class RunTransition(msgspec.Struct, frozen=True, gc=False):
    """A change of a run with its number, from 1 without gaps."""

    run_id: bytes
    number: int
    change: RunChange


class RunRecord(msgspec.Struct, frozen=True, gc=False):
    """What is known of a run by its transitions."""

    run_id: bytes
    #: The number of the last transition.
    number: int
    first: RunEntry
    start: RunEntry
    answers: Mapping[Question, bool] = msgspec.field(default_factory=dict)
    #: In the order in which the run comes to them.
    planned: tuple[PlannedEffect, ...] = ()
    ending: RunEnding | None = None
    #: The version of the journey that the run goes by.
    version: int = 0
    #: Where an edit has moved the run, with the number of effects that were planned before.
    moved: tuple[RunPosition, int] | None = None

    def fixed_effects(self, begun: Collection[EffectKey]) -> int:
        """Return how many planned effects are fixed: up to the last one begun, or to the move."""
        fixed = self.moved[1] if self.moved else 0
        if begun:
            for place, effect in enumerate(self.planned, 1):
                if effect.key in begun:
                    fixed = max(fixed, place)
        return fixed

    def fixed(self, begun: Collection[EffectKey], program: Program, newest: int) -> FixedRun | None:
        """Return what is not played again, by the effects whose attempts have begun.

        `program`: of the version of the run; `newest`: the newest version. None = the run is played
        from its entry in the newest version.
        """
        ended = self.ending is not None and self.ending.reason in _BY_EDIT
        effects = self.planned[: self.fixed_effects(begun)]
        if not effects and self.moved is None and not ended and self.version == newest:
            return None
        position = self.moved[0] if self.moved and self.moved[1] == len(effects) else None
        ending = self.ending if ended else None
        begun_us = max(
            (e.at_us for e in effects if e.key in begun and e.step_id not in program.after_end),
            default=None,
        )
        return FixedRun(self.first, self.start, effects, position, program, ending, begun_us)


def run_id(workspace_id: WorkspaceId, program: Program, entry: RunEntry) -> bytes:
    """Return the id of the run that an entry begins.

    Where a key has one run for ever, all entries of the leaf with this key have the same: an
    earlier entry that is learnt late begins this run again, and no other one beside it.
    """
    journey = program.journey
    key = entry_key(program, entry)
    if journey.entry.again_after_us is None and key is not None:
        return hash_id(workspace_id, "run", journey.journey_id, entry.leaf_id, key)
    return hash_id(workspace_id, "run", journey.journey_id, entry.fact_id)


def run_effect_id(run_id: bytes, key: EffectKey) -> bytes:
    """Return the idempotency key of an effect: no version, profile or attempt is part of it."""
    step_id, visit = key
    return hash_id(run_id, step_id, str(visit))


def transition_fact_id(workspace_id: WorkspaceId, run_id: bytes, number: int) -> FactId:
    """Return the id of the fact of a transition."""
    return FactId(hash_id(workspace_id, "transition", run_id, str(number)))


def decide(
    record: RunRecord | None,
    run_id: bytes,
    run: PersonRun,
    begun: Collection[EffectKey],
    answers: Mapping[Question, bool],
    version: int,
) -> list[RunTransition]:
    """Return the transitions that lead from the record of a run to what was played.

    `begun`: the effects of the run whose attempts have begun. `answers`: those with which it was
    played. `version`: of the journey, for a run that begins. The same call with the record of the
    result returns none.
    """
    changes: list[RunChange] = []
    if record is None:
        changes.append(RunBegan(run.first, version))
        record = RunRecord(run_id, 0, run.first, run.first, version=version)
    if (record.first, record.start) != (run.first, run.start):
        changes.append(RunRestarted(run.first, run.start))
    new_answers = tuple(
        (question, answers[question])
        for question in run.play.answered
        if question not in record.answers
    )
    if new_answers:
        changes.append(RunAnswered(new_answers))
    changes += _effect_changes(record, run, begun)
    ending = run.play.ending
    if run.asleep_beside is None and ending != record.ending:
        changes.append(RunReopened() if ending is None else RunEnded(ending))
    return [
        RunTransition(record.run_id, record.number + place, change)
        for place, change in enumerate(changes, 1)
    ]


def fold_transitions(
    record: RunRecord | None, transitions: Iterable[RunTransition]
) -> RunRecord | None:
    """Return the record of a run after its next transitions; those that it has are left out."""
    for transition in transitions:
        if record is not None and transition.number <= record.number:
            continue
        record = _folded(record, transition)
    return record


def _effect_changes(
    record: RunRecord, run: PersonRun, begun: Collection[EffectKey]
) -> list[RunChange]:
    open_ = record.planned[record.fixed_effects(begun) :]
    wanted = run.outstanding
    same = 0
    while same < min(len(open_), len(wanted)) and open_[same] == wanted[same]:
        same += 1
    changes: list[RunChange] = []
    if open_[same:]:
        keys = tuple(effect.key for effect in open_[same:])
        overtaken_by = run.play.overtaken_by
        if run.asleep_beside is not None:
            changes.append(EffectsWithdrawn(keys, WithdrawalReason.ASLEEP))
        elif overtaken_by is not None:
            fact_id = overtaken_by.fact_id
            changes.append(EffectsWithdrawn(keys, WithdrawalReason.OVERTAKEN, fact_id))
        else:
            changes.append(EffectsWithdrawn(keys, WithdrawalReason.REVISED))
    if wanted[same:]:
        changes.append(EffectsPlanned(wanted[same:]))
    return changes


def _folded(record: RunRecord | None, transition: RunTransition) -> RunRecord:
    change, number = transition.change, transition.number
    if record is None:
        if not isinstance(change, RunBegan) or number != 1:
            raise ValueError("the first transition of a run is that it began")
        entry, version = change.entry, change.version
        return RunRecord(transition.run_id, 1, entry, entry, version=version)
    if number != record.number + 1:
        raise ValueError(f"transition {record.number + 1} of a run is missing")
    match change:
        case RunBegan():
            raise ValueError("a run begins once")
        case RunRestarted(first, start):
            return msgspec.structs.replace(
                record, number=number, first=first, start=start, moved=None
            )
        case RunAnswered(answers):
            return msgspec.structs.replace(
                record, number=number, answers={**record.answers, **dict(answers)}
            )
        case EffectsPlanned(effects):
            return msgspec.structs.replace(
                record, number=number, planned=(*record.planned, *effects)
            )
        case EffectsWithdrawn(keys):
            planned = tuple(effect for effect in record.planned if effect.key not in keys)
            return msgspec.structs.replace(record, number=number, planned=planned)
        case RunMoved(version, position):
            moved = None if position is None else (position, len(record.planned))
            return msgspec.structs.replace(record, number=number, version=version, moved=moved)
        case RunEnded(ending):
            return msgspec.structs.replace(record, number=number, ending=ending)
        case RunReopened():
            return msgspec.structs.replace(record, number=number, ending=None)
