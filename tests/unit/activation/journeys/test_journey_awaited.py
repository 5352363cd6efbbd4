"""What runs wait for once they have begun: facts of nothing else are played."""

from __future__ import annotations

from typing import Any

import pytest
from oracle.random_journeys import BEGIN, HOUR_US

from services.activation.domain.journeys import looks
from services.activation.domain.journeys.catalogue import JourneyHistory, JourneyVersion
from services.activation.domain.journeys.looks import JourneyFact, KnownPerson, look_at
from services.activation.domain.journeys.program import (
    Program,
    Subject,
    compile_journey,
    coupon_subject,
)
from services.activation.domain.journeys.run import ContactHours, PersonFacts, RunFact
from services.kernel.ids import FactId, LeafId, WorkspaceId
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.local_time import ZoneHistory

LEAF = LeafId(b"l" * 16)
LISTEN = {
    "listen": {"to": {"event": "viewed"}, "at_most": "1d", "then": [{"put": {"tag": "keen"}}]}
}


def program(version: int, **fields: Any) -> Program:
    form = {"id": "cart", "enter": {"event": "added"}, "steps": [{"wait": "2h"}], **fields}
    return compile_journey(parse_journey(form).at_version(version))


def history(*programs: Program) -> JourneyHistory:
    return JourneyHistory(tuple(JourneyVersion(BEGIN, each) for each in programs))


def played_facts(
    of: JourneyHistory, subjects: list[Subject], monkeypatch: pytest.MonkeyPatch
) -> set[Subject]:
    """Return the subjects of the facts that a look plays."""
    seen: list[RunFact] = []

    def play(facts: list[RunFact]) -> PersonFacts:
        seen.extend(facts)
        return PersonFacts(facts)

    monkeypatch.setattr(looks, "PersonFacts", play)
    facts = [
        JourneyFact(LEAF, FactId(bytes([n]) * 16), BEGIN + n, BEGIN + n, (subject,))
        for n, subject in enumerate(subjects)
    ]
    hours = ContactHours(ZoneHistory("UTC"), {})
    person = KnownPerson(WorkspaceId("shop"), facts, {}, {}, hours)
    look_at(person, of, BEGIN + HOUR_US)
    return {fact.subject for fact in seen}


def test_entry_is_not_played_as_a_fact_that_a_run_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = program(1, goal=[{"event": "paid"}])
    [entry], [goal] = own.entries, own.goals[0].subjects
    assert played_facts(history(own), [entry], monkeypatch) == set()
    assert played_facts(history(own), [entry, goal], monkeypatch) == {goal}


def test_goals_leaves_and_listens_of_every_version_are_awaited() -> None:
    old = program(1, goal=[{"event": "paid"}], steps=[LISTEN])
    new = program(2, leave=[{"event": "emptied"}])
    [listened] = old.listens.values()
    assert old.awaited == {*old.goals[0].subjects, *listened.subjects}
    assert new.awaited == {*new.leaves[0].subjects}
    assert history(old, new).awaited == old.awaited | new.awaited


def test_event_that_begins_runs_and_is_awaited_is_played(monkeypatch: pytest.MonkeyPatch) -> None:
    own = program(1, goal=[{"event": "added"}])
    [entry] = own.entries
    assert played_facts(history(own), [entry], monkeypatch) == {entry}


def test_uses_of_coupons_are_awaited() -> None:
    send = {
        "send": {"to": "mail", "template": "t", "issue": {"gift": {"pool": "p", "valid": "1d"}}}
    }
    assert program(1, steps=[send]).awaited == {coupon_subject("gift")}
