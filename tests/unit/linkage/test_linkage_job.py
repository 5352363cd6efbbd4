"""Matching a small world finds most true pairs, and is deterministic."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from math import log2

import pytest

from services.kernel.identifiers.model import Identifier
from services.linkage.config import load_config
from services.linkage.job import (
    BY_PERSON,
    Match,
    MatchAssessment,
    MatchingResult,
    find_matches,
    new_matches,
    ordered_pair,
)
from services.linkage.person_model import PERSON_MODEL
from services.linkage.records import LinkageProfile, representative, unique_values_of
from tests.people.hard_people import Record, as_profile, hard_people, true_pairs

CONFIG = load_config()
A, B, C = (Identifier("user_id", letter) for letter in "abc")


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return hard_people(180, seed=5)


@pytest.fixture(scope="module")
def result(records: list[Record]) -> MatchingResult:
    return find_matches([as_profile(record) for record in records], CONFIG)


def accepted(result: MatchingResult) -> set[tuple[Identifier, Identifier]]:
    return {m.pair for m in result.matches if m.assessment is MatchAssessment.ACCEPTED}


def test_generated_people_depend_on_the_seed_alone() -> None:
    assert hard_people(60, seed=1) == hard_people(60, seed=1) != hard_people(60, seed=2)


def test_most_true_pairs_and_few_others_are_accepted(
    records: list[Record], result: MatchingResult
) -> None:
    names = {r.record_id: representative(as_profile(r)) for r in records}
    truth = {ordered_pair(names[a], names[b]) for a, b in true_pairs(records)}
    right = len(accepted(result) & truth)
    assert right / len(accepted(result)) > 0.97
    assert right / len(truth) > 0.85


def test_profiles_with_different_unique_values_never_match(
    records: list[Record], result: MatchingResult
) -> None:
    profiles = [as_profile(record) for record in records]
    unique = {representative(p): unique_values_of(p, CONFIG) for p in profiles}
    for match in result.matches:
        a, b = (unique[identifier] for identifier in match.pair)
        assert all(a[namespace] == b[namespace] for namespace in a.keys() & b.keys())


def test_weights_and_prior_add_up_to_the_probability(result: MatchingResult) -> None:
    priors = {
        round(_log_odds(m.probability) - sum(w.log2_bayes_factor for w in m.weights), 6)
        for m in result.matches
        if m.probability < 0.99
    }
    assert len(priors) == 1


def _log_odds(probability: float) -> float:
    return log2(probability / (1 - probability))


def test_weights_name_outcomes_and_no_values(records: list[Record], result: MatchingResult) -> None:
    outcomes = {level.outcome for c in PERSON_MODEL.comparisons for level in c.levels}
    outcomes |= {c.otherwise for c in PERSON_MODEL.comparisons}
    assert {w.outcome for m in result.matches for w in m.weights} <= outcomes


def test_profiles_that_allow_no_purpose_are_not_compared(records: list[Record]) -> None:
    profiles = [as_profile(record) for record in records]
    silent = [replace(p, traits={**p.traits, "consent_analytics": False}) for p in profiles]
    none = find_matches(silent, CONFIG)
    assert (none.total, none.eligible, none.matches) == (len(profiles), 0, ())


def test_profiles_in_any_order_match_for_the_purposes_that_both_allow(
    records: list[Record], result: MatchingResult
) -> None:
    profiles = [_allowing(as_profile(r), i) for i, r in enumerate(records)]
    shuffled = find_matches(random.Random(3).sample(profiles, len(profiles)), CONFIG)
    assert shuffled.model_version == result.model_version
    assert [replace(m, purposes=()) for m in shuffled.matches] == [
        replace(m, purposes=()) for m in result.matches
    ]
    allowed = {representative(p): "consent_marketing" in p.traits for p in profiles}
    for match in shuffled.matches:
        both = all(allowed[identifier] for identifier in match.pair)
        purposes = ("analytics", "marketing") if both else ("analytics",)
        assert match.purposes == (purposes if match.assessment is MatchAssessment.ACCEPTED else ())


def _allowing(profile: LinkageProfile, index: int) -> LinkageProfile:
    more = {"consent_marketing": True} if index % 2 else {}
    return replace(profile, traits={**profile.traits, **more})


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_profiles_have_no_matches(count: int, records: list[Record]) -> None:
    assert find_matches([as_profile(r) for r in records[:count]], CONFIG).matches == ()


def match(
    assessment: MatchAssessment, version: str = "person-1", pair: Sequence[Identifier] = (A, B)
) -> Match:
    purposes = ("analytics",) if assessment is MatchAssessment.ACCEPTED else ()
    return Match(ordered_pair(*pair), assessment, 0.9, version, purposes)


def to_record(found: list[Match], recorded: list[Match]) -> list[tuple[MatchAssessment, str]]:
    result = MatchingResult(tuple(found), "person-1", 3, 3)
    changed = new_matches(result, {m.pair: m for m in recorded})
    return [(m.assessment, m.model_version) for m in changed]


def test_recorded_assessment_is_not_recorded_again() -> None:
    one = match(MatchAssessment.ACCEPTED)
    assert to_record([one], []) == [(MatchAssessment.ACCEPTED, "person-1")]
    assert to_record([one], [one]) == []
    assert to_record([one], [match(MatchAssessment.TO_REVIEW)]) == [
        (MatchAssessment.ACCEPTED, "person-1")
    ]


@pytest.mark.parametrize("assessment", [MatchAssessment.ACCEPTED, MatchAssessment.REJECTED])
def test_assessment_by_a_person_is_not_replaced(assessment: MatchAssessment) -> None:
    by_person = match(assessment, BY_PERSON)
    assert to_record([match(MatchAssessment.TO_REVIEW)], [by_person]) == []
    assert to_record([], [by_person]) == []


def test_accepted_match_that_is_no_longer_found_is_rejected() -> None:
    recorded = match(MatchAssessment.ACCEPTED, "person-0", (B, C))
    assert to_record([], [recorded]) == [(MatchAssessment.REJECTED, "person-1")]
    assert to_record([], [match(MatchAssessment.REJECTED, "person-0")]) == []
