"""Finds the facts on which it rests what an entry of a person has led to, by taking them away."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from services.activation.domain.journeys.catalogue import JourneyHistory
from services.activation.domain.journeys.looks import JourneyFact, KnownPerson, LeafMoved
from services.activation.domain.journeys.persons import EntryRefusal
from services.activation.domain.journeys.replays import (
    HoursOf,
    LeafGroup,
    PersonalQuestion,
    replay_as_learnt,
)
from services.activation.domain.journeys.run import RunEnd
from services.activation.domain.journeys.transitions import EffectKey
from services.kernel.ids import FactId, ProfileId

#: The most facts of a person for which evidence is looked for; it takes a replay for each.
MAX_FACTS: Final = 100


class Outcome(NamedTuple):
    """What an entry has led to."""

    #: None = it has begun a run, or has begun one again.
    refusal: EntryRefusal | None
    end: RunEnd | None = None
    effects: tuple[EffectKey, ...] = ()


Outcomes = Mapping[FactId, Outcome]


class EvidenceSearch:
    """Replays a person with all facts but some, until an instant."""

    def __init__(
        self,
        group: LeafGroup,
        history: JourneyHistory,
        hours: HoursOf,
        until_us: int,
        answers: Mapping[PersonalQuestion, bool],
    ) -> None:
        self._group, self._history, self._hours = group, history, hours
        self._until_us, self._answers = until_us, answers
        self._facts = [
            fact for fact in group.facts if not history.subjects.isdisjoint(fact.subjects)
        ]

    def cited(self) -> dict[FactId, tuple[FactId, ...]]:
        """Return for each entry the facts on which its outcome rests, with the entry itself.

        Without any other single fact the outcome is the same, and without all of them it is not. A
        rule whose truth is not known without a fact does not count. Empty where there are too many
        facts.
        """
        if len(self._facts) > MAX_FACTS:
            return {}
        whole = self._outcomes(())
        if whole is None:
            return {}
        without = {fact.fact_id: self._outcomes((fact,)) for fact in self._facts}
        found: dict[FactId, tuple[FactId, ...]] = {}
        for entry, outcome in whole.items():
            needed = [
                id_
                for id_, other in without.items()
                if id_ != entry and other is not None and other.get(entry) != outcome
            ]
            if not needed and outcome.refusal in _BY_OTHERS:
                needed = self._together(entry, outcome)
            found[entry] = (entry, *needed)
        return found

    def _together(self, entry: FactId, outcome: Outcome) -> list[FactId]:
        """Return facts that lead to an outcome together with others, each of which would do."""
        others = [fact for fact in self._facts if fact.fact_id != entry]
        others.sort(key=lambda fact: (fact.occurred_at_us, fact.fact_id))
        taken: list[JourneyFact] = []
        for fact in others:
            taken.append(fact)
            if self._changes(entry, outcome, taken):
                break
        else:
            return []
        for fact in list(taken):
            rest = [each for each in taken if each is not fact]
            if self._changes(entry, outcome, rest):
                taken = rest
        return [fact.fact_id for fact in taken]

    def _changes(self, entry: FactId, outcome: Outcome, without: Sequence[JourneyFact]) -> bool:
        found = self._outcomes(without)
        return found is not None and found.get(entry) != outcome

    def _outcomes(self, without: Collection[JourneyFact]) -> Outcomes | None:
        """Return what all entries lead to without some facts; None = a rule has no answer."""
        rest = [fact for fact in self._facts if fact not in without]
        group = replace(self._group, facts=rest)
        replay = replay_as_learnt(group, self._history, self._hours, self._until_us, self._answers)
        if replay.questions:
            return None
        found = {entry.fact_id: Outcome(reason) for entry, reason in replay.refusals}
        for run_id, run in replay.runs.items():
            ending = run.record.ending
            effects = tuple(
                (each.effect.step_id, each.effect.visit)
                for each in replay.effects.values()
                if each.effect.run_id == run_id and not each.withdrawn
            )
            outcome = Outcome(None, None if ending is None else ending.reason, effects)
            for entry in (run.record.first, run.record.start):
                found[entry.fact_id] = outcome
        return found


#: The refusals that other facts are the reason of.
_BY_OTHERS: Final = (EntryRefusal.ALREADY_RUN, EntryRefusal.TOO_SOON, EntryRefusal.INSIDE)


def cited_facts(
    profile_id: ProfileId, person: KnownPerson, history: JourneyHistory, known_us: int
) -> dict[FactId, tuple[FactId, ...]]:
    """Return the facts on which the outcome of each entry of a person rests; see `cited`."""
    answers = dict(person.answers)
    for record in person.records.values():
        answers |= record.answers
    leaves = {fact.leaf_id for fact in person.facts}
    own = [LeafMoved(person.workspace_id, leaf_id, profile_id, 0, 0) for leaf_id in leaves]
    group = LeafGroup(
        person.workspace_id, frozenset(leaves), person.facts, own, coupons=person.coupons
    )
    needed = {
        PersonalQuestion(profile_id, question): answer for question, answer in answers.items()
    }
    return EvidenceSearch(group, history, lambda *_: person.hours, known_us, needed).cited()
