"""Facts that are cited decide: without them the answer is another one, without others it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from oracle.random_journeys import BEGIN, HOUR_US, Case, hours_of, make_case, run_facts

from services.activation.domain.journeys.catalogue import (
    FlowChange,
    JourneyHistory,
    JourneyVersion,
    Overdue,
)
from services.activation.domain.journeys.evidence import MAX_FACTS, EvidenceSearch
from services.activation.domain.journeys.explained import EntryReason, explain_entries
from services.activation.domain.journeys.looks import JourneyFact, KnownPerson
from services.activation.domain.journeys.program import compile_journey, event_subject
from services.activation.domain.journeys.replays import LeafGroup, replay_as_learnt
from services.activation.domain.journeys.run import ContactHours, Question
from services.activation.domain.policy.gate import Flow
from services.kernel.ids import FactId, LeafId, WorkspaceId
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.journeys.model import RuleCondition
from services.kernel.journeys.naming import journey_rules
from services.kernel.local_time import ZoneHistory
from services.kernel.rules.filters import EventFilter
from services.kernel.rules.ids import structure_id

WORKSPACE = WorkspaceId("shop")
LEAF = LeafId(b"leaf of person 1")


def outcomes(group: LeafGroup, history: JourneyHistory, case: Case) -> dict[bytes, Any]:
    """Return what each entry leads to: its refusal, or the end and the effects of its run."""
    hours = hours_of(case.contact)
    found = replay_as_learnt(group, history, lambda *_: hours, case.now, {})
    assert not found.questions
    led: dict[bytes, Any] = {entry.fact_id: reason for entry, reason in found.refusals}
    for run_id, run in found.runs.items():
        sent = [
            (e.effect.step_id, e.effect.visit)
            for e in found.effects.values()
            if e.effect.run_id == run_id and not e.withdrawn
        ]
        ending = run.record.ending
        for entry in (run.record.first, run.record.start):
            led[entry.fact_id] = (ending and ending.reason, sent)
    return led


def case_without_rules(seed: int) -> Case:
    random = Random(seed)
    while True:
        case = make_case(random, late=True, simple=True)
        if not list(journey_rules(case.journey)):
            return case


@pytest.mark.parametrize("first", range(0, 500, 50))
def test_answer_changes_without_the_cited_facts_and_stays_without_any_other(first: int) -> None:
    for seed in range(first, first + 50):
        check_citations(case_without_rules(seed))


def check_citations(case: Case) -> None:
    """Take the cited facts of each entry away, and then each of the others alone."""
    program = compile_journey(case.journey)
    facts = [
        JourneyFact(
            case.leaf, FactId(h.id), h.at, case.recorded.get(h.id, h.at), subjects, h.properties
        )
        for h in case.happenings
        if (subjects := tuple(fact.subject for fact in run_facts(program, [h])))
    ]
    history = JourneyHistory((JourneyVersion(BEGIN - 1, program),))
    group = LeafGroup(WORKSPACE, frozenset((case.leaf,)), facts)
    hours = hours_of(case.contact)
    cited = EvidenceSearch(group, history, lambda *_: hours, case.now, {}).cited()
    whole = outcomes(group, history, case)
    assert cited.keys() == whole.keys()
    for entry, answer in whole.items():
        own = cited[FactId(entry)]
        others = [fact for fact in facts if fact.fact_id not in own]
        assert outcomes(replace(group, facts=others), history, case).get(entry) != answer
        for other in others:
            rest = [fact for fact in facts if fact is not other]
            assert outcomes(replace(group, facts=rest), history, case)[entry] == answer


RULE = {"tag": "vip"}
SHORT = [{"wait": "2h"}, {"put": {"tag": "t"}, "id": "p"}]


def fact(number: int, name: str, hours: int, recorded: int | None = None) -> JourneyFact:
    at_us = BEGIN + hours * HOUR_US
    learnt_us = at_us if recorded is None else BEGIN + recorded * HOUR_US
    subject = event_subject(structure_id(EventFilter.of(name)))
    return JourneyFact(LEAF, FactId(bytes([number]) * 16), at_us, learnt_us, (subject,))


def explained(*facts: JourneyFact, hours: int = 9, answer: bool | None = None, **enter: Any) -> Any:
    """Return the reasons of the entries of a person in a journey until an instant."""
    journey = parse_journey({"id": "j", "enter": {"event": "entered", **enter}, "steps": SHORT})
    program = compile_journey(journey)
    answers: Mapping[Question, bool] = {}
    if answer is not None and isinstance(journey.entry.condition, RuleCondition):
        rule = journey.entry.condition.rule
        answers = {Question(rule, each.occurred_at_us): answer for each in facts}
    stop = FlowChange(BEGIN + 8 * HOUR_US, Flow.STOPPED, Overdue.SKIP, 1)
    history = JourneyHistory((JourneyVersion(BEGIN - HOUR_US, program),), (stop,))
    person = KnownPerson(WORKSPACE, facts, {}, {}, HOURS, answers)
    known_us = BEGIN + hours * HOUR_US
    return [each.reason for each in explain_entries(person, history, known_us)]


HOURS = ContactHours(ZoneHistory("UTC"), {})
ONE = fact(1, "entered", 1)
REASONS: dict[EntryReason, Any] = {
    EntryReason.BEGUN: lambda: explained(ONE, hours=7),
    EntryReason.LEARNT_TOO_LATE: lambda: explained(
        fact(1, "entered", 1, 5), hours=7, not_after="1h"
    ),
    EntryReason.ALREADY_RUN: lambda: explained(ONE, fact(2, "entered", 5), hours=7, again="never"),
    EntryReason.TOO_SOON: lambda: explained(
        ONE, fact(2, "entered", 5), hours=7, again={"after": "9h"}
    ),
    EntryReason.INSIDE: lambda: explained(ONE, fact(2, "entered", 2), hours=7),
    EntryReason.CONDITION: lambda: explained(ONE, hours=7, answer=False, **{"if": RULE}),
    EntryReason.UNDECIDED: lambda: explained(ONE, hours=7, **{"if": RULE}),
    EntryReason.NO_KEY: lambda: explained(ONE, hours=7, per="cart_id"),
    EntryReason.NOT_LIVE: lambda: explained(fact(1, "entered", -2), hours=7),
    EntryReason.NOT_PASSED: lambda: explained(ONE, hours=0),
}


@pytest.mark.parametrize("reason", EntryReason)
def test_every_reason_of_the_list_occurs(reason: EntryReason) -> None:
    assert REASONS[reason]()[-1] is reason


def _search(*facts: JourneyFact) -> EvidenceSearch:
    form = {"id": "j", "enter": {"event": "entered", "again": "never"}, "steps": SHORT}
    program = compile_journey(parse_journey(form))
    history = JourneyHistory((JourneyVersion(BEGIN - HOUR_US, program),))
    group = LeafGroup(WORKSPACE, frozenset((LEAF,)), facts)
    return EvidenceSearch(group, history, lambda *_: HOURS, BEGIN + 9 * HOUR_US, {})


def test_refusal_that_two_facts_would_cause_cites_both() -> None:
    facts = [fact(number, "entered", number) for number in (1, 2, 6)]
    cited = _search(*facts).cited()
    one, two, three = (each.fact_id for each in facts)
    assert cited == {one: (one,), two: (two, one), three: (three, one, two)}


def test_person_with_too_many_facts_has_no_evidence() -> None:
    facts = [fact(number, "entered", number) for number in range(MAX_FACTS + 1)]
    assert _search(*facts).cited() == {}
