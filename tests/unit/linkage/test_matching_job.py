"""The job on a small world: what it says, and that it always says the same."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from math import log2

import pytest

from services.kernel.identifiers import Identifier
from services.linkage.config import read_config
from services.linkage.job import BY_PERSON, Found, Judgement, Match, find_matches, news, pair_of
from services.linkage.people import Person
from services.linkage.person_model import PEOPLE
from services.linkage.records import spokesman, unique_of
from tests.people.hard_people import Record, as_person, hard_people, true_pairs

CONFIG = read_config()
A, B, C = (Identifier("user_id", letter) for letter in "abc")


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return hard_people(180, seed=5)


@pytest.fixture(scope="module")
def found(records: list[Record]) -> Found:
    return find_matches([as_person(record) for record in records], CONFIG)


def accepted(found: Found) -> set[tuple[Identifier, Identifier]]:
    return {m.pair for m in found.matches if m.judgement is Judgement.ACCEPTED}


def test_the_same_world_is_made_of_the_same_seed() -> None:
    assert hard_people(60, seed=1) == hard_people(60, seed=1) != hard_people(60, seed=2)


def test_most_are_found_and_hardly_anybody_else(records: list[Record], found: Found) -> None:
    names = {r.record_id: spokesman(as_person(r)) for r in records}
    truth = {pair_of(names[a], names[b]) for a, b in true_pairs(records)}
    right = len(accepted(found) & truth)
    assert right / len(accepted(found)) > 0.97
    assert right / len(truth) > 0.85


def test_nobody_with_different_unique_ids_is_matched(records: list[Record], found: Found) -> None:
    people = [as_person(record) for record in records]
    unique = {spokesman(person): unique_of(person, CONFIG) for person in people}
    for match in found.matches:
        a, b = (unique[identifier] for identifier in match.pair)
        assert all(a[namespace] == b[namespace] for namespace in a.keys() & b.keys())


def test_the_weights_make_up_the_probability(found: Found) -> None:
    priors = {
        round(_log_odds(m.probability) - sum(w.log2_bayes_factor for w in m.weights), 6)
        for m in found.matches
        if m.probability < 0.99
    }
    assert len(priors) == 1


def _log_odds(probability: float) -> float:
    return log2(probability / (1 - probability))


def test_the_evidence_holds_no_values(records: list[Record], found: Found) -> None:
    known = {level.outcome for c in PEOPLE.comparisons for level in c.levels}
    known |= {c.otherwise for c in PEOPLE.comparisons}
    assert {w.outcome for m in found.matches for w in m.weights} <= known


def test_who_allows_nothing_is_not_looked_at(records: list[Record]) -> None:
    people = [as_person(record) for record in records]
    silent = [replace(p, traits={**p.traits, "consent_analytics": False}) for p in people]
    told = find_matches(silent, CONFIG)
    assert (told.people, told.compared, told.matches) == (len(people), 0, ())


def test_in_any_order_the_same_are_matched_for_what_both_allow(
    records: list[Record], found: Found
) -> None:
    people = [_allowing(as_person(r), at) for at, r in enumerate(records)]
    told = find_matches(random.Random(3).sample(people, len(people)), CONFIG)
    assert told.model_version == found.model_version
    assert [replace(m, purposes=()) for m in told.matches] == [
        replace(m, purposes=()) for m in found.matches
    ]
    allowed = {spokesman(p): "consent_marketing" in p.traits for p in people}
    for match in told.matches:
        both = all(allowed[identifier] for identifier in match.pair)
        purposes = ("analytics", "marketing") if both else ("analytics",)
        assert match.purposes == (purposes if match.judgement is Judgement.ACCEPTED else ())


def _allowing(person: Person, at: int) -> Person:
    more = {"consent_marketing": True} if at % 2 else {}
    return replace(person, traits={**person.traits, **more})


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_people_are_no_matches(count: int, records: list[Record]) -> None:
    assert find_matches([as_person(r) for r in records[:count]], CONFIG).matches == ()


def match(
    judgement: Judgement, version: str = "people-1", pair: Sequence[Identifier] = (A, B)
) -> Match:
    purposes = ("analytics",) if judgement is Judgement.ACCEPTED else ()
    return Match(pair_of(*pair), judgement, 0.9, version, purposes)


def said(found: list[Match], before: list[Match]) -> list[tuple[Judgement, str]]:
    run = Found(tuple(found), "people-1", 3, 3)
    return [(m.judgement, m.model_version) for m in news(run, {m.pair: m for m in before})]


def test_what_is_known_already_is_not_said_again() -> None:
    one = match(Judgement.ACCEPTED)
    assert said([one], []) == [(Judgement.ACCEPTED, "people-1")]
    assert said([one], [one]) == []
    assert said([one], [match(Judgement.TO_REVIEW)]) == [(Judgement.ACCEPTED, "people-1")]


@pytest.mark.parametrize("judgement", [Judgement.ACCEPTED, Judgement.REJECTED])
def test_what_a_person_said_stands(judgement: Judgement) -> None:
    by_person = match(judgement, BY_PERSON)
    assert said([match(Judgement.TO_REVIEW)], [by_person]) == []
    assert said([], [by_person]) == []


def test_what_is_not_found_any_more_is_taken_back() -> None:
    before = match(Judgement.ACCEPTED, "people-0", (B, C))
    assert said([], [before]) == [(Judgement.REJECTED, "people-1")]
    assert said([], [match(Judgement.REJECTED, "people-0")]) == []
