"""Decides what follows for a person in a journey from what was known at an instant of the log.

A look plays all runs of the person, and returns the transitions that lead from their records to
what was played. It depends on the facts that the log recorded until the instant, on the records and
on the effects that have begun, and on nothing else: so it can be repeated from the log.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

import msgspec

from services.activation.domain.coupons import Coupon
from services.activation.domain.journeys.catalogue import JourneyHistory
from services.activation.domain.journeys.edits import edit_run, stop_run
from services.activation.domain.journeys.occasions import date_entry_id, occasion_of_member
from services.activation.domain.journeys.persons import (
    EntryRefusal,
    FixedRun,
    PersonPlay,
    PersonRun,
    play_person,
)
from services.activation.domain.journeys.program import (
    Program,
    Subject,
    coupon_subject,
    segment_subject,
)
from services.activation.domain.journeys.run import (
    COUPON_END,
    ContactHours,
    PersonFacts,
    Question,
    RunEntry,
    RunFact,
    RunPlay,
    RunPosition,
)
from services.activation.domain.journeys.transitions import (
    EffectKey,
    RunChange,
    RunRecord,
    RunTransition,
    decide,
    fold_transitions,
    run_id,
)
from services.kernel.ids import FactId, LeafId, ProfileId, WorkspaceId
from services.kernel.journeys.inputs import MEMBERSHIP_PREFIX
from services.kernel.journeys.model import DateTrigger, Movement
from services.kernel.rules.values import Json
from services.kernel.time import DAY_US

#: How long after its end a run can still be changed by what is learnt late.
CLOSED_AFTER_US: Final = 30 * DAY_US


class RunState(IntEnum):
    """Whether a run goes on; the numbers of the store."""

    OPEN = 1
    #: Another run of the person goes before it, so that it sends nothing.
    ASLEEP = 2
    ENDED = 3


class JourneyFact(msgspec.Struct, frozen=True, gc=False):
    """Something that happened to a person and that journeys wait for."""

    leaf_id: LeafId
    fact_id: FactId
    occurred_at_us: int
    recorded_at_us: int
    subjects: tuple[Subject, ...]
    #: Those properties that journeys name.
    properties: Mapping[str, Json] = msgspec.field(default_factory=dict)
    #: As in `RunEntry`.
    caused_at_us: int | None = None

    @property
    def learnt_at_us(self) -> int:
        """From when on looks know of it: when it was recorded, or has happened if that is later."""
        return max(self.occurred_at_us, self.recorded_at_us)

    @property
    def entry(self) -> RunEntry:
        """What the fact is where it begins a run."""
        return RunEntry(
            *(self.occurred_at_us, self.fact_id, self.leaf_id, self.recorded_at_us),
            *(self.properties, self.caused_at_us),
        )


class LeafMoved(NamedTuple):
    """A leaf belongs to a profile; the highest version counts."""

    workspace_id: WorkspaceId
    leaf_id: LeafId
    profile_id: ProfileId
    version: int
    #: From which instant of the log's clock on it counts, Unix microseconds.
    since_us: int


class KnownPerson(msgspec.Struct, frozen=True, gc=False):
    """What is known of a person for one journey."""

    workspace_id: WorkspaceId
    facts: Sequence[JourneyFact]
    #: By run.
    records: Mapping[bytes, RunRecord]
    #: The effects whose attempts have begun, by run.
    begun: Mapping[bytes, Collection[EffectKey]]
    hours: ContactHours
    #: Answers that no record has.
    answers: Mapping[Question, bool] = msgspec.field(default_factory=dict)
    #: Runs that nothing changes any more, as their facts are not known.
    closed: Collection[bytes] = ()
    #: The coupons of the runs.
    coupons: Sequence[Coupon] = ()


class RunLook(msgspec.Struct, frozen=True, gc=False):
    """What a look has found of one run."""

    record: RunRecord
    #: Those that are new.
    transitions: tuple[RunTransition, ...]
    state: RunState
    #: Where it stands.
    position: RunPosition
    #: When time makes it go on; None = never.
    due_us: int | None


class Look(msgspec.Struct, frozen=True, gc=False):
    """What a look has found. Where there are questions, nothing is decided before their answers."""

    runs: tuple[RunLook, ...] = ()
    refusals: tuple[tuple[RunEntry, EntryRefusal], ...] = ()
    #: When the person is to be looked at again; None = when something is learnt.
    due_us: int | None = None
    questions: tuple[Question, ...] = ()
    #: The answers that have refused entries, which no record has.
    answers: Mapping[Question, bool] = msgspec.field(default_factory=dict)


def look_at(person: KnownPerson, history: JourneyHistory, known_us: int) -> Look:
    """Return what follows for a person from what the log had recorded until an instant."""
    version = history.at(known_us)
    if version is None:
        return Look(due_us=_next_change(person, history, known_us))
    return _Looking(person, history, version.program, known_us).look()


def can_play(facts: Iterable[JourneyFact], history: JourneyHistory, known_us: int) -> bool:
    """Return whether a fact may begin a run at an instant; a goal alone, for example, begins none.

    Without that a look at a person without runs plays nothing, and needs no contact hours.
    """
    version = history.at(known_us)
    if version is None:
        return False
    wanted = version.program.entries
    return not all(wanted.isdisjoint(fact.subjects) for fact in facts)


def ideal_of(person: KnownPerson, history: JourneyHistory, known_us: int) -> PersonPlay | None:
    """Return what should have happened to a person by all that was known at an instant.

    None where that cannot be computed: a run goes by an older version, or the fact of an entry is
    not stored any more. Where the result has questions, it is not decided before their answers.
    """
    version = history.at(known_us)
    if version is None:
        return None
    journey, records = version.program.journey, person.records.values()
    facts = {fact.fact_id for fact in person.facts}
    has_facts = all(r.first.fact_id in facts for r in records)
    if any(r.version != journey.version for r in records):
        return None
    if not has_facts and not isinstance(journey.entry.by, DateTrigger):
        return None
    answers = dict(person.answers)
    for record in person.records.values():
        answers |= record.answers
    alone = msgspec.structs.replace(person, records={}, begun={}, answers=answers)
    return _Looking(alone, history, version.program, known_us).play()


class _Looking:
    def __init__(
        self, person: KnownPerson, history: JourneyHistory, newest: Program, known_us: int
    ) -> None:
        self._person, self._history, self._newest = person, history, newest
        self._known_us = known_us
        facts = [fact for fact in person.facts if fact.recorded_at_us <= known_us]
        awaited = history.awaited
        run_facts = [
            RunFact(fact.occurred_at_us, fact.fact_id, subject, fact.properties)
            for fact in facts
            for subject in fact.subjects
            if subject in awaited
        ]
        if person.coupons:
            run_facts += _coupon_uses(person, history.journey_id, known_us)
        self._facts = PersonFacts(run_facts)
        self._records = dict(person.records)
        self._changes: dict[bytes, list[RunTransition]] = {}
        #: When entries begin that are known already.
        self._awaited_us: list[int] = []
        self._entries = list(self._live_entries(facts))
        self._answers = dict(person.answers)
        for record in self._records.values():
            self._answers |= record.answers

    def look(self) -> Look:
        for instant_us in self._edit_instants():
            played = self._play(instant_us)
            if played.questions:
                return Look(questions=played.questions)
            self._edit(played, instant_us)
        played = self._play(self._known_us)
        if played.questions:
            return Look(questions=played.questions)
        runs = [self._decide(run) for run in played.runs]
        found = {look.record.run_id for look in runs}
        if len(found) < len(self._records):
            runs += [
                self._displaced(record)
                for id_, record in list(self._records.items())
                if id_ not in found and not self._is_closed(record)
            ]
        dues = [run.due_us for run in runs if run.state is RunState.OPEN]
        dues += [_next_change(self._person, self._history, self._known_us), *self._awaited_us]
        due_us = min((due for due in dues if due is not None), default=None)
        changed = tuple(run for run in runs if run.record.run_id not in self._person.closed)
        return Look(changed, played.refusals, due_us, answers=self._unused_answers(runs))

    def _unused_answers(self, runs: Iterable[RunLook]) -> Mapping[Question, bool]:
        """Return the answers that no run has, and that may count again."""
        if not self._answers:
            return {}
        own = {question for run in runs for question in run.record.answers}
        since_us = self._known_us - CLOSED_AFTER_US
        return {
            question: answer
            for question, answer in self._answers.items()
            if question not in own and question.at_us >= since_us
        }

    def play(self) -> PersonPlay:
        """Return what follows at the instant of the look."""
        return self._play(self._known_us)

    def _live_entries(self, facts: Sequence[JourneyFact]) -> Iterable[RunEntry]:
        wanted = self._newest.entries
        for fact in facts:
            if wanted.isdisjoint(fact.subjects):
                continue
            entry, recorded_us = self._entry_of(fact, facts), fact.recorded_at_us
            if entry is None or not self._history.accepts(entry):
                continue
            if entry.occurred_at_us > self._known_us:
                self._awaited_us.append(entry.occurred_at_us)
                continue
            if self._history.stop_after(recorded_us, self._known_us) is None:
                yield entry

    def _entry_of(self, fact: JourneyFact, facts: Sequence[JourneyFact]) -> RunEntry | None:
        """Return what a fact is where it begins a run; None = it begins none."""
        journey = self._newest.journey
        trigger = journey.entry.by
        if not isinstance(trigger, DateTrigger):
            return fact.entry
        left = segment_subject(MEMBERSHIP_PREFIX + journey.journey_id, Movement.LEFT)
        left_us = [f.occurred_at_us for f in facts if left in f.subjects]
        zones = self._person.hours.zones
        occasion = occasion_of_member(trigger, fact.occurred_at_us, left_us, zones)
        if occasion is None:
            return None
        workspace_id = self._person.workspace_id
        return RunEntry(
            occasion.at_us,
            date_entry_id(workspace_id, journey.journey_id, occasion, fact.leaf_id),
            fact.leaf_id,
            fact.recorded_at_us,
            {"date": occasion.day.isoformat()},
        )

    def _play(self, now_us: int) -> PersonPlay:
        fixed = [own for record in self._records.values() if (own := self._fixed(record))]
        entries = {entry.fact_id: entry for entry in self._entries}
        for record in self._records.values():
            entries |= {entry.fact_id: entry for entry in (record.first, record.start)}
        return play_person(
            self._newest,
            entries.values(),
            self._facts,
            self._answers,
            self._person.hours,
            now_us,
            fixed,
        )

    def _fixed(self, record: RunRecord) -> FixedRun | None:
        """Return what of a run is not played again; None = it is played from its entry."""
        program = self._history.program(record.version)
        if self._is_closed(record):
            effects = record.planned
            return FixedRun(
                record.first, record.start, effects, program=program, ending=record.ending
            )
        newest = self._newest.journey.version
        return record.fixed(self._begun(record.run_id), program, newest)

    def _is_closed(self, record: RunRecord) -> bool:
        if record.run_id in self._person.closed:
            return True
        ending = record.ending
        return ending is not None and ending.at_us < self._known_us - CLOSED_AFTER_US

    def _begun(self, id_: bytes) -> Collection[EffectKey]:
        return self._person.begun.get(id_, ())

    def _edit_instants(self) -> list[int]:
        """Return when new versions and stops may have changed open runs, ascending."""
        if len(self._history.versions) == 1 and not self._history.flows:
            return []
        open_ = [r for r in self._records.values() if r.ending is None and not self._is_closed(r)]
        instants = {
            instant_us
            for record in open_
            for instant_us in (
                *(v.defined_at_us for v in self._history.later(record.version, self._known_us)),
                self._history.stop_after(record.first.recorded_at_us, self._known_us),
            )
            if instant_us is not None
        }
        return sorted(instants)

    def _edit(self, played: PersonPlay, instant_us: int) -> None:
        """Apply the new version or the stop of an instant to the runs that are open then."""
        for run in played.runs:
            record = self._record_of(run)
            if record is None or record.ending is not None or self._is_closed(record):
                continue
            change = self._edit_of(run, record, instant_us)
            if change is not None:
                self._add(record, [RunTransition(record.run_id, record.number + 1, change)])

    def _edit_of(self, run: PersonRun, record: RunRecord, instant_us: int) -> RunChange | None:
        if self._history.stop_after(instant_us - 1, instant_us) is not None:
            return stop_run(run, instant_us)
        for version in self._history.later(record.version, instant_us):
            if version.defined_at_us == instant_us:
                return edit_run(run, version.program, instant_us)
        return None

    def _decide(self, run: PersonRun) -> RunLook:
        record = self._record_of(run)
        if record is not None and self._is_closed(record):
            return RunLook(record, (), RunState.ENDED, run.play.position, None)
        own = run.program or self._newest
        id_ = run_id(self._person.workspace_id, own, run.first) if record is None else record.run_id
        version = self._newest.journey.version
        new = decide(record, id_, run, self._begun(id_), self._answers, version)
        after = self._add(record, new)
        if run.asleep_beside is not None:
            state = RunState.ENDED if after.ending else RunState.ASLEEP
        else:
            state = RunState.OPEN if after.ending is None else RunState.ENDED
        due_us = run.play.due_us if state is RunState.OPEN else None
        changes = tuple(self._changes.get(after.run_id, ()))
        return RunLook(after, changes, state, run.play.position, due_us)

    def _displaced(self, record: RunRecord) -> RunLook:
        """Return what becomes of a run that could not have begun beside another one."""
        position = RunPosition("", record.first.occurred_at_us)
        asleep = PersonRun(
            record.first, record.start, RunPlay((), (), position), asleep_beside=record.first
        )
        begun = self._begun(record.run_id)
        new = decide(record, record.run_id, asleep, begun, self._answers, record.version)
        after = self._add(record, new)
        state = RunState.ASLEEP if after.ending is None else RunState.ENDED
        return RunLook(after, tuple(self._changes.get(after.run_id, ())), state, position, None)

    def _record_of(self, run: PersonRun) -> RunRecord | None:
        """Return the record of a run: by its entry, or by the id that its entry gives."""
        if not self._records:
            return None
        for record in self._records.values():
            if record.first.fact_id == run.first.fact_id:
                return record
        own = run.program or self._newest
        return self._records.get(run_id(self._person.workspace_id, own, run.first))

    def _add(self, record: RunRecord | None, new: Sequence[RunTransition]) -> RunRecord:
        after = fold_transitions(record, new)
        if after is None:
            raise AssertionError("a run without a record begins")
        self._records[after.run_id] = after
        self._changes.setdefault(after.run_id, []).extend(new)
        return after


def _coupon_uses(person: KnownPerson, journey_id: str, known_us: int) -> Iterator[RunFact]:
    """Yield the uses of coupons of a journey that were known at an instant."""
    for coupon in person.coupons:
        used = coupon.used
        if used and coupon.journey_id == journey_id and used.recorded_at_us <= known_us:
            end = {COUPON_END: coupon.until_us}
            yield RunFact(used.at_us, used.fact_id, coupon_subject(coupon.name), end)


def _next_change(person: KnownPerson, history: JourneyHistory, known_us: int) -> int | None:
    """Return the next instant at which something counts that is not known yet."""
    instants = [fact.learnt_at_us for fact in person.facts if fact.learnt_at_us > known_us]
    instants += [v.defined_at_us for v in history.versions if v.defined_at_us > known_us]
    instants += [c.changed_at_us for c in history.flows if c.changed_at_us > known_us]
    return min(instants, default=None)
