"""Plays all runs of a person through one journey, and decides which entries begin one.

The same function gives what should have been sent, and what is to be sent: in the first case no run
has sent anything yet, in the second what was sent stands, and everything after it is played again.

Of the runs with one key that could not stand beside each other, those that are fixed, as they have
sent something, go before those that are not, and then the earlier entry goes first. The others are
*asleep*: they send nothing as long as this is so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

import msgspec

from services.activation.domain.journeys.player import Answers, play
from services.activation.domain.journeys.program import Program
from services.activation.domain.journeys.run import (
    ContactHours,
    PersonFacts,
    PlannedEffect,
    Question,
    RunEnd,
    RunEnding,
    RunEntry,
    RunPlay,
    RunPosition,
)
from services.kernel.journeys.inputs import greatest_age_us
from services.kernel.journeys.model import WhileInside
from services.kernel.rules.values import canonical_json


class EntryRefusal(Enum):
    """Why an entry begins no run."""

    LEARNT_TOO_LATE = "learnt too late"
    ALREADY_RUN = "already run"
    TOO_SOON = "too soon after the last run"
    INSIDE = "inside"
    CONDITION = "the condition of the entry was false"
    #: A run waits for the answer to a question.
    UNDECIDED = "undecided"
    NO_KEY = "the property of `per` is missing"


class FixedRun(msgspec.Struct, frozen=True, gc=False):
    """What of a run is not played again: what it has sent, or how an edit has changed it."""

    #: The entry that began it, and the last one that began it again.
    first: RunEntry
    start: RunEntry
    #: In the order in which they were sent.
    effects: tuple[PlannedEffect, ...]
    #: Where the run goes on; None = behind its last effect.
    position: RunPosition | None = None
    #: The version that it goes by; None = the newest.
    program: Program | None = None
    #: How an edit has ended it; None = it has not.
    ending: RunEnding | None = None
    #: The instant of the last effect of its steps whose attempt has begun; None = none has.
    begun_us: int | None = None


class PersonRun(msgspec.Struct, frozen=True, gc=False):
    """A run of a person, as far as it is known."""

    first: RunEntry
    start: RunEntry
    play: RunPlay
    #: Effects that were sent before.
    sent: tuple[PlannedEffect, ...] = ()
    #: The first entry of the run that goes before this one; None = the run is awake.
    asleep_beside: RunEntry | None = None
    #: Effects that a run which is asleep beside this one has sent, so that this one does not.
    repeated: frozenset[tuple[str, int]] = frozenset()
    #: The version that it goes by; None = the newest.
    program: Program | None = None
    #: The effects that follow as something was sent which a goal or a leave should have stopped.
    amends: tuple[PlannedEffect, ...] = ()

    @property
    def planned(self) -> tuple[PlannedEffect, ...]:
        """The effects that follow from what is known, and that were not sent."""
        if self.asleep_beside is not None:
            return ()
        # A run that has ended by its goal plans again what follows the goal.
        done = self.repeated.union(effect.key for effect in self.sent)
        wanted = (*self.play.effects, *self.amends)
        return tuple(effect for effect in wanted if effect.key not in done)

    @property
    def effects(self) -> tuple[PlannedEffect, ...]:
        """All effects of the run, those that were sent first."""
        return (*self.sent, *self.planned)

    @property
    def outstanding(self) -> tuple[PlannedEffect, ...]:
        """The planned effects that may still be sent: after a goal or a leave, what follows it."""
        if self.play.overtaken_by is None:
            return self.planned
        ending = self.play.ending
        goal_us = ending.at_us if ending and ending.reason is RunEnd.GOAL else None
        return tuple(e for e in self.planned if e.at_us == goal_us or e in self.amends)


class PersonPlay(msgspec.Struct, frozen=True, gc=False):
    """The runs of a person through one journey, and the entries that begin none."""

    runs: tuple[PersonRun, ...]
    refusals: tuple[tuple[RunEntry, EntryRefusal], ...]
    #: What must be answered before the runs go on.
    questions: tuple[Question, ...]

    @property
    def due_us(self) -> int | None:
        """When time alone makes a run go on; None = never."""
        dues = (run.play.due_us for run in self.runs if run.asleep_beside is None)
        return min((due for due in dues if due is not None), default=None)


def play_person(
    program: Program,
    entries: Iterable[RunEntry],
    facts: PersonFacts,
    answers: Answers,
    hours: ContactHours,
    now_us: int,
    fixed: Sequence[FixedRun] = (),
) -> PersonPlay:
    """Return the runs of a person until `now_us`, with everything that is known of the person.

    `fixed`: the runs that have sent something, or that an edit has changed. Without them the result
    is what should have happened; it depends on the set of entries and facts alone.
    """
    known = {entry.fact_id: entry for entry in entries if entry.occurred_at_us <= now_us}
    refusals: list[tuple[RunEntry, EntryRefusal]] = []
    groups: dict[str, _Group] = {}

    def group_of(entry: RunEntry) -> _Group | None:
        key = entry_key(program, entry)
        if key is None:
            return None
        if key not in groups:
            groups[key] = _Group(program, facts, answers, hours, now_us)
        return groups[key]

    for own in sorted(fixed, key=lambda run: run.first.order):
        group = group_of(own.first)
        if group is not None:
            group.add_fixed(own)
    begun = {entry.fact_id for own in fixed for entry in (own.first, own.start)}
    for entry in sorted(known.values(), key=lambda entry: entry.order):
        group = group_of(entry)
        if entry.fact_id in begun:
            continue
        refusal = EntryRefusal.NO_KEY if group is None else group.add(entry)
        if refusal is not None:
            refusals.append((entry, refusal))
    runs = tuple(run for own_runs in groups.values() for run in own_runs.runs())
    questions = dict.fromkeys(q for own_runs in groups.values() for q in own_runs.questions())
    return PersonPlay(runs, tuple(refusals), tuple(questions))


def entry_key(program: Program, entry: RunEntry) -> str | None:
    """Return what separates the runs of a person; None where the entry lacks the property."""
    per = program.journey.entry.per
    if not per:
        return ""
    value = entry.properties.get(per)
    return None if value is None else canonical_json(value)


def amends_of(program: Program, played: RunPlay, begun_us: int | None) -> tuple[PlannedEffect, ...]:
    """Return what follows a regret: the goal or leave of a run took place before it sent something.

    `begun_us`: the instant of its last effect whose attempt has begun; None = none has.
    """
    ending, overtaken_by = played.ending, played.overtaken_by
    if ending is None or overtaken_by is None or begun_us is None or overtaken_by.at_us > begun_us:
        return ()
    return tuple(
        PlannedEffect(step.id, 0, ending.at_us, played.position)
        for step in program.journey.regret.unwanted
    )


class _Group:
    """The runs of a person with one key."""

    def __init__(
        self,
        program: Program,
        facts: PersonFacts,
        answers: Answers,
        hours: ContactHours,
        now_us: int,
    ) -> None:
        self._program, self._facts, self._answers = program, facts, answers
        self._hours, self._now_us = hours, now_us
        self._entry = program.journey.entry
        #: Ascending by their first entries.
        self._awake: list[PersonRun] = []
        self._asleep: list[PersonRun] = []
        self._undecided: list[Question] = []

    def add_fixed(self, own: FixedRun) -> None:
        """Add a run that is fixed; those of earlier entries are added before it."""
        played = self._play(own)
        amends = amends_of(own.program or self._program, played, own.begun_us)
        run = PersonRun(
            own.first, own.start, played, own.effects, program=own.program, amends=amends
        )
        for rival in self._awake:
            if self._refusal_beside(rival, own.first) is not None:
                self._asleep.append(msgspec.structs.replace(run, asleep_beside=rival.first))
                return
        self._awake.append(run)

    def add(self, entry: RunEntry) -> EntryRefusal | None:
        """Begin a run with an entry, or begin one again; return why it does neither.

        Earlier entries are added before it, all runs that are fixed before any entry.
        """
        limit_us = greatest_age_us(self._entry)
        if limit_us and entry.age_us > limit_us:
            return EntryRefusal.LEARNT_TOO_LATE
        order = entry.order
        at = len([run for run in self._awake if run.first.order <= order])
        if at:
            before = self._awake[at - 1]
            if before.play.questions:
                return EntryRefusal.UNDECIDED
            refusal = self._refusal_beside(before, entry)
            if refusal is EntryRefusal.INSIDE and self._may_restart(before, entry):
                return self._place(before.first, entry, at - 1, at, before.program)
            if refusal is not None:
                return refusal
        return self._place(entry, entry, at, at)

    def runs(self) -> list[PersonRun]:
        """Return all runs; no run sends what one that is asleep beside it has sent."""
        if not self._asleep:
            return self._awake
        awake = []
        for run in self._awake:
            beside = [own for own in self._asleep if own.asleep_beside == run.first]
            repeated = frozenset(effect.key for own in beside for effect in own.sent)
            awake.append(msgspec.structs.replace(run, repeated=repeated))
        return [*awake, *self._asleep]

    def questions(self) -> list[Question]:
        """Return what must be answered before the runs go on."""
        awake = [question for run in self._awake for question in run.play.questions]
        return [*awake, *self._undecided]

    def _place(
        self, first: RunEntry, start: RunEntry, begin: int, end: int, program: Program | None = None
    ) -> EntryRefusal | None:
        """Put a run in the place of those from `begin` to `end`, if the next one lets it."""
        played = self._play(FixedRun(first, start, (), program=program))
        run = PersonRun(first, start, played, program=program)
        if run.play.ending is not None and run.play.ending.reason is RunEnd.REFUSED:
            return EntryRefusal.CONDITION
        if end < len(self._awake):
            refusal = self._refusal_beside(run, self._awake[end].first)
            if run.play.questions:
                self._undecided += run.play.questions
                return EntryRefusal.UNDECIDED
            if refusal is not None:
                return refusal
        self._awake[begin:end] = [run]
        return None

    def _refusal_beside(self, run: PersonRun, entry: RunEntry) -> EntryRefusal | None:
        """Return why a later entry begins no run of its own beside a run."""
        ending, at_us = run.play.ending, entry.occurred_at_us
        # Facts come before what time does at the same instant: only a fact ends a run before them.
        by_fact = ending is not None and ending.fact_id is not None
        if ending is None or ending.at_us > at_us or (ending.at_us == at_us and not by_fact):
            return EntryRefusal.INSIDE
        if self._entry.again_after_us is None:
            return EntryRefusal.ALREADY_RUN
        too_soon = entry.occurred_at_us < ending.at_us + self._entry.again_after_us
        return EntryRefusal.TOO_SOON if too_soon else None

    def _may_restart(self, run: PersonRun, entry: RunEntry) -> bool:
        """Return whether an entry begins an open run again: it has sent nothing so far."""
        if self._entry.while_inside is not WhileInside.RESTART or run.sent:
            return False
        if entry.order < run.start.order:
            return False
        limit_us = self._entry.restart_until_us
        if limit_us and entry.occurred_at_us > run.first.occurred_at_us + limit_us:
            return False
        return all(effect.at_us >= entry.occurred_at_us for effect in run.play.effects)

    def _play(self, own: FixedRun) -> RunPlay:
        if own.ending is not None:
            return RunPlay((), (), RunPosition("", own.ending.at_us), ending=own.ending)
        since = own.position or (own.effects[-1].position if own.effects else None)
        program, facts = own.program or self._program, self._facts
        return play(program, own.start, facts, self._answers, self._hours, self._now_us, since)
