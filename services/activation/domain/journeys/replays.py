"""Replays a journey over what is recorded of persons: what it has done, would do, or should have.

The three replays are the player in three orders. `replay_recorded` repeats the looks that were
taken, with what had begun then. `replay_as_learnt` looks whenever something is learnt or due, and
lets every effect begin at once. `replay_as_happened` plays once, with all that is known.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, TypeAlias

from services.activation.domain.coupons import Coupon
from services.activation.domain.journeys.catalogue import JourneyHistory
from services.activation.domain.journeys.look_agenda import by_instant, can_change, first_entry_us
from services.activation.domain.journeys.looks import (
    JourneyFact,
    KnownPerson,
    LeafMoved,
    Look,
    RunState,
    ideal_of,
    look_at,
)
from services.activation.domain.journeys.persons import EntryRefusal, PersonPlay
from services.activation.domain.journeys.planned import effects_of, ledger_changes
from services.activation.domain.journeys.run import ContactHours, Question, RunEntry
from services.activation.domain.journeys.transitions import (
    EffectKey,
    RunAnswered,
    RunRecord,
    RunTransition,
    run_id,
)
from services.activation.domain.journeys.verified import (
    BegunEffect,
    KnownTransition,
    begun_then,
    fold_records,
    looks_of,
)
from services.activation.domain.model import RunEffect
from services.kernel.ids import LeafId, ProfileId, WorkspaceId
from services.kernel.journeys.model import SendStep

#: The contact hours of a person at an instant.
HoursOf: TypeAlias = Callable[[ProfileId, int], ContactHours]


class PersonalQuestion(NamedTuple):
    """A rule whose truth a replay needs."""

    profile_id: ProfileId
    question: Question


@dataclass(frozen=True)
class LeafGroup:
    """Leaves that have belonged to one person at some time, with all that is recorded of them."""

    workspace_id: WorkspaceId
    leaves: frozenset[LeafId]
    facts: Sequence[JourneyFact] = ()
    moves: Sequence[LeafMoved] = ()
    coupons: Sequence[Coupon] = ()
    #: The transitions of all runs of these leaves in the journey.
    transitions: Sequence[KnownTransition] = ()
    begun: Sequence[BegunEffect] = ()
    #: The answers that have refused entries, by leaf.
    answers: Mapping[LeafId, Mapping[Question, bool]] = field(default_factory=dict)

    def persons(self, at_us: int) -> Mapping[ProfileId, frozenset[LeafId]]:
        """Return the leaves of each person at an instant."""
        return self._last_persons if at_us >= self._moved_us else self._persons(at_us)

    @cached_property
    def _moved_us(self) -> int:
        """The instant of the last move; 0 = there is none."""
        return max((move.since_us for move in self.moves), default=0)

    @cached_property
    def _last_persons(self) -> Mapping[ProfileId, frozenset[LeafId]]:
        """The leaves of each person after the last move, which are those of most looks."""
        return self._persons(self._moved_us)

    def _persons(self, at_us: int) -> dict[ProfileId, frozenset[LeafId]]:
        if len(self.leaves) == len(self.moves) == 1:  # as of most persons
            [move] = self.moves
            if move.since_us <= at_us and move.leaf_id in self.leaves:
                return {move.profile_id: self.leaves}
        newest: dict[LeafId, LeafMoved] = {}
        for move in self.moves:
            known = newest.get(move.leaf_id)
            if move.since_us <= at_us and (known is None or known.version < move.version):
                newest[move.leaf_id] = move
        found: dict[ProfileId, set[LeafId]] = defaultdict(set)
        for leaf_id in self.leaves:
            move_ = newest.get(leaf_id)
            found[ProfileId(leaf_id) if move_ is None else move_.profile_id].add(leaf_id)
        return {profile_id: frozenset(own) for profile_id, own in sorted(found.items())}


@dataclass(frozen=True)
class ReplayedEffect:
    """An effect as the ledger has it, or would."""

    effect: RunEffect
    #: Why it was withdrawn before its attempt; empty = it was not.
    withdrawn: str = ""


@dataclass(frozen=True)
class ReplayedRun:
    """A run at the end of a replay."""

    profile_id: ProfileId
    record: RunRecord
    state: RunState
    #: The step before which it stands; empty = none.
    step_id: str


@dataclass
class Replay:
    """What a replay has found of a group of leaves."""

    effects: dict[bytes, ReplayedEffect] = field(default_factory=dict)
    #: By id.
    runs: dict[bytes, ReplayedRun] = field(default_factory=dict)
    refusals: list[tuple[RunEntry, EntryRefusal]] = field(default_factory=list)
    #: In the order of the looks.
    transitions: list[KnownTransition] = field(default_factory=list)
    #: What must be answered first, each with the instant up to which facts may be known.
    questions: dict[PersonalQuestion, int] = field(default_factory=dict)
    #: The persons of which nothing could be computed.
    left_out: set[ProfileId] = field(default_factory=set)


def replay_recorded(
    group: LeafGroup, history: JourneyHistory, hours: HoursOf, known_us: int
) -> Replay:
    """Repeat the looks that have made transitions, and look at what is known at an instant last.

    What had begun then is that of the group. If the journey was played as it should have been, the
    effects are those of the ledger.
    """
    playing = _Replaying(group, history, hours)
    for look_us in looks_of(group.transitions):
        made = [t for t in group.transitions if t.known_us == look_us]
        for profile_id, leaves in group.persons(look_us).items():
            own = _transitions_of(made, group.transitions, leaves)
            if own:
                playing.repeat_look(profile_id, leaves, look_us, own)
    playing.found.refusals = []
    last = _begun(group.begun)
    for profile_id, leaves in group.persons(known_us).items():
        answers = playing.recorded_answers(leaves, ())
        look = playing.look(profile_id, leaves, known_us, last, answers)
        playing.add(profile_id, look, known_us)
    return playing.found


def replay_as_learnt(
    group: LeafGroup,
    history: JourneyHistory,
    hours: HoursOf,
    until_us: int,
    answers: Mapping[PersonalQuestion, bool],
) -> Replay:
    """Look whenever something is learnt or due until an instant; what is planned begins at once.

    A person is not looked at where nothing can follow; see `can_change`. Where the result has
    questions, repeat the call with their answers.
    """
    playing = _Replaying(group, history, hours)
    learnt = {fact.learnt_at_us for fact in group.facts}
    turns = {
        *(move.since_us for move in group.moves),
        *(version.defined_at_us for version in history.versions),
        *(change.changed_at_us for change in history.flows),
    }
    first_us = first_entry_us(group.facts, history)
    if first_us is None:
        return playing.found
    agenda = [instant for instant in learnt | turns if first_us <= instant <= until_us]
    heapq.heapify(agenda)
    facts = by_instant(group.facts) if len(agenda) > 1 else {}
    begun: dict[bytes, set[EffectKey]] = {}
    looks: dict[ProfileId, Look] = {}
    last_us: int | None = None
    while agenda and not playing.found.questions:
        at_us = heapq.heappop(agenda)
        if at_us == last_us:
            continue
        last_us = at_us
        if at_us in turns:
            looks.clear()
        for profile_id, leaves in group.persons(at_us).items():
            if profile_id in looks:
                new = [fact for fact in facts.get(at_us, ()) if fact.leaf_id in leaves]
                if not can_change(looks[profile_id], new, history, at_us):
                    continue
            own = {needed.question: a for needed, a in answers.items() if needed[0] == profile_id}
            look = looks[profile_id] = playing.look(profile_id, leaves, at_us, begun, own)
            playing.add(profile_id, look, at_us)
            for run in look.runs:
                if run.record.planned:
                    planned = begun.setdefault(run.record.run_id, set())
                    planned.update(effect.key for effect in run.record.planned)
                if run.due_us is not None and at_us < run.due_us <= until_us:
                    heapq.heappush(agenda, run.due_us)
    playing.found.refusals = [refusal for look in looks.values() for refusal in look.refusals]
    return playing.found


def replay_as_happened(
    group: LeafGroup,
    history: JourneyHistory,
    hours: HoursOf,
    known_us: int,
    answers: Mapping[PersonalQuestion, bool],
) -> Replay:
    """Return what should have happened by all that is known at an instant.

    Each fact counts for the person that has its leaf then. A person of which it cannot be computed
    is left out, see `ideal_of`. Where the result has questions, repeat the call with their answers.
    """
    version = history.at(known_us)
    playing = _Replaying(group, history, hours, fold_records(group.transitions))
    if version is None:
        return playing.found
    for profile_id, leaves in group.persons(known_us).items():
        own = {needed.question: a for needed, a in answers.items() if needed[0] == profile_id}
        recorded = playing.recorded_answers(leaves, ())
        person = playing.person(profile_id, leaves, known_us, {}, {**recorded, **own})
        ideal = ideal_of(person, history, known_us)
        if ideal is None:
            playing.found.left_out.add(profile_id)
        elif ideal.questions:
            playing.ask(profile_id, ideal.questions, known_us)
        else:
            playing.add_ideal(profile_id, ideal, version.program.journey.version)
    return playing.found


def messages_of_edit(
    group: LeafGroup,
    history: JourneyHistory,
    edited: JourneyHistory,
    hours: HoursOf,
    known_us: int,
    until_us: int,
) -> int:
    """Return how many messages to people inside a new version would let come due until an instant.

    `edited`: the history with the new version, which is in force from `known_us` on. Messages that
    come due without it are left out, and those that depend on a rule.
    """
    playing = _Replaying(group, history, hours, fold_records(group.transitions))
    begun = _begun(group.begun)
    count = 0
    for profile_id, leaves in group.persons(known_us).items():
        answers = playing.recorded_answers(leaves, ())
        person = playing.person(profile_id, leaves, known_us, begun, answers)
        inside = {id_ for id_, record in person.records.items() if record.ending is None}
        if inside:
            due = [
                _due(look_at(person, each, until_us), each, inside) for each in (edited, history)
            ]
            count += len(due[0] - due[1])
    return count


def _due(
    look: Look, history: JourneyHistory, runs: Collection[bytes]
) -> set[tuple[bytes, EffectKey]]:
    """Return the messages of runs that a look leaves planned."""
    return {
        (run.record.run_id, effect.key)
        for run in look.runs
        if run.record.run_id in runs
        for effect in run.record.planned
        if isinstance(history.program(run.record.version).effects.get(effect.step_id), SendStep)
    }


class _Replaying:
    """The records of a group, and what has been found so far."""

    def __init__(
        self,
        group: LeafGroup,
        history: JourneyHistory,
        hours: HoursOf,
        records: Mapping[bytes, RunRecord] | None = None,
    ) -> None:
        self._group, self._history, self._hours = group, history, hours
        self._records = dict(records or {})
        self.found = Replay()

    def person(
        self,
        profile_id: ProfileId,
        leaves: Collection[LeafId],
        known_us: int,
        begun: Mapping[bytes, Collection[EffectKey]],
        answers: Mapping[Question, bool],
    ) -> KnownPerson:
        """Return what is known of a person who has some leaves."""
        group = self._group
        return KnownPerson(
            group.workspace_id,
            group.facts
            if leaves == group.leaves
            else [fact for fact in group.facts if fact.leaf_id in leaves],
            {id_: r for id_, r in self._records.items() if r.first.leaf_id in leaves},
            begun,
            self._hours(profile_id, known_us),
            answers,
            coupons=[coupon for coupon in group.coupons if coupon.leaf_id in leaves],
        )

    def look(
        self,
        profile_id: ProfileId,
        leaves: Collection[LeafId],
        known_us: int,
        begun: Mapping[bytes, Collection[EffectKey]],
        answers: Mapping[Question, bool],
    ) -> Look:
        """Return what follows at an instant."""
        person = self.person(profile_id, leaves, known_us, begun, answers)
        return look_at(person, self._history, known_us)

    def repeat_look(
        self,
        profile_id: ProfileId,
        leaves: Collection[LeafId],
        known_us: int,
        made: Mapping[bytes, Sequence[RunTransition]],
    ) -> None:
        """Look as it was done; an attempt may have begun just before the look, or just after."""
        answers = self.recorded_answers(leaves, [t for own in made.values() for t in own])
        first: Look | None = None
        for begun in begun_then(self._group.begun, known_us):
            look = self.look(profile_id, leaves, known_us, begun, answers)
            found = {run.record.run_id: list(run.transitions) for run in look.runs}
            if all(found.get(id_) == list(own) for id_, own in made.items()):
                self.add(profile_id, look, known_us)
                return
            first = first or look
        if first is not None:
            self.add(profile_id, first, known_us)

    def recorded_answers(
        self, leaves: Collection[LeafId], made: Iterable[RunTransition]
    ) -> dict[Question, bool]:
        """Return the answers that are recorded of leaves, and those that transitions cite."""
        found = {
            question: answer
            for leaf_id in leaves
            for question, answer in self._group.answers.get(leaf_id, {}).items()
        }
        for transition in made:
            if isinstance(transition.change, RunAnswered):
                found |= dict(transition.change.answers)
        return found

    def ask(self, profile_id: ProfileId, questions: Iterable[Question], known_us: int) -> None:
        """Say what a person's runs need to go on."""
        for question in questions:
            self.found.questions.setdefault(PersonalQuestion(profile_id, question), known_us)

    def add(self, profile_id: ProfileId, look: Look, known_us: int) -> None:
        """Take over what a look has found."""
        if look.questions:
            self.ask(profile_id, look.questions, known_us)
            return
        own = self._group.workspace_id, profile_id, self._history
        changes = ledger_changes(*own, look.runs)
        effects = self.found.effects
        for withdrawn in changes.withdrawn:
            known = effects.get(withdrawn.effect_id)
            if known is not None:
                effects[withdrawn.effect_id] = replace(known, withdrawn=withdrawn.reason)
        effects |= {effect.effect_id: ReplayedEffect(effect) for effect in changes.planned}
        for run in look.runs:
            self._records[run.record.run_id] = run.record
            self.found.transitions += [KnownTransition(known_us, t) for t in run.transitions]
            self.found.runs[run.record.run_id] = ReplayedRun(
                profile_id, run.record, run.state, run.position.step_id
            )
        self.found.refusals += look.refusals

    def add_ideal(self, profile_id: ProfileId, ideal: PersonPlay, version: int) -> None:
        """Take over what should have happened to a person."""
        workspace_id, program = self._group.workspace_id, self._history.program(version)
        for run in ideal.runs:
            id_ = run_id(workspace_id, program, run.first)
            record = RunRecord(
                *(id_, 0, run.first, run.start),
                planned=run.effects,
                ending=run.play.ending,
                version=version,
            )
            is_over = run.play.ending is not None
            state = RunState.ENDED if is_over else RunState.OPEN
            if run.asleep_beside is not None:
                state = RunState.ASLEEP
            step_id = run.play.position.step_id
            self.found.runs[id_] = ReplayedRun(profile_id, record, state, step_id)
            for effect in effects_of(workspace_id, profile_id, self._history, record):
                self.found.effects[effect.effect_id] = ReplayedEffect(effect)
        self.found.refusals += ideal.refusals


def _begun(begun: Iterable[BegunEffect]) -> dict[bytes, set[EffectKey]]:
    found: dict[bytes, set[EffectKey]] = {}
    for each in begun:
        found.setdefault(each.run_id, set()).add(each.key)
    return found


def _transitions_of(
    made: Sequence[KnownTransition], known: Sequence[KnownTransition], leaves: Collection[LeafId]
) -> dict[bytes, list[RunTransition]]:
    """Return those of the transitions of a look that are of runs of some leaves, by run."""
    until_us = made[0].known_us
    runs = {each.transition.run_id for each in made}
    records = fold_records(
        t for t in known if t.known_us <= until_us and t.transition.run_id in runs
    )
    found: dict[bytes, list[RunTransition]] = defaultdict(list)
    for _, transition in sorted(made, key=lambda t: t.transition.number):
        if records[transition.run_id].first.leaf_id in leaves:
            found[transition.run_id].append(transition)
    return found
