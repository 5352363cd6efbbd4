"""Rules decide which scored pairs are accepted, reviewed or dropped."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.linkage.classify import (
    ClassifiedPair,
    MatchRules,
    PairPredicate,
    classify,
    differ_in_unique_values,
)
from services.linkage.config import Thresholds
from services.linkage.linker import ComparisonWeight, ScoredPair
from services.linkage.person_model import PERSON_RULES

LIMITS = Thresholds(accept=0.9, review=0.5)


def never(a: str, b: str) -> bool:
    return False


def scored(a: str, b: str, probability: float = 0.99, **outcomes: tuple[str, float]) -> ScoredPair:
    outcomes = outcomes or {"name": ("same characters", 8.0), "phone": ("same", 6.0)}
    weights = tuple(ComparisonWeight(name, *outcome) for name, outcome in outcomes.items())
    return ScoredPair(a, b, probability, weights)


def accepted(
    *pairs: ScoredPair,
    rules: MatchRules = PERSON_RULES,
    excluded: PairPredicate = never,
    conflict: PairPredicate = never,
) -> dict[str, bool]:
    classified = classify(_ordered(pairs), LIMITS, rules, excluded=excluded, conflict=conflict)
    return {f"{c.pair.a}{c.pair.b}": c.accepted for c in classified}


def _ordered(pairs: Sequence[ScoredPair]) -> list[ScoredPair]:
    return sorted(pairs, key=lambda pair: (-pair.probability, pair.a, pair.b))


def test_thresholds_separate_accepted_reviewed_and_dropped_pairs() -> None:
    result = accepted(scored("a", "b", 0.9), scored("c", "d", 0.89), scored("e", "f", 0.49))
    assert result == {"ab": True, "cd": False}


def test_excluded_pair_is_dropped() -> None:
    assert accepted(scored("a", "b"), excluded=lambda a, b: True) == {}


def test_different_unique_values_are_detected() -> None:
    a, b = {"member_id": frozenset({"1"})}, {"member_id": frozenset({"2"})}
    assert differ_in_unique_values(a, b)
    assert not differ_in_unique_values(a, a)
    assert not differ_in_unique_values(a, {"user_id": frozenset({"2"})})
    assert not differ_in_unique_values(a, {"member_id": frozenset({"1", "2"})})


def test_pair_with_a_single_supporting_comparison_is_reviewed() -> None:
    alone = scored("a", "b", name=("not known", 0.0), phone=("same", 20.0))
    assert accepted(alone) == {"ab": False}


def test_family_members_are_reviewed() -> None:
    family = scored("a", "b", name=("same surname", 2.0), phone=("same", 9.0), mail=("same", 9.0))
    assert accepted(family) == {"ab": False}


@pytest.mark.parametrize("birth_date", ["same", "not known", "same month"])
def test_names_that_differ_in_one_character_are_reviewed(birth_date: str) -> None:
    siblings = {"name": ("one character differs", 3.0), "birth_date": (birth_date, 9.0)}
    assert accepted(scored("a", "b", **siblings, phone=("same", 9.0))) == {"ab": False}


def test_chain_does_not_link_profiles_in_conflict() -> None:
    result = accepted(
        scored("a", "b", 0.99), scored("b", "c", 0.95), conflict=lambda a, b: {a, b} == {"a", "c"}
    )
    assert result == {"ab": True, "bc": False}


def test_pair_below_the_threshold_within_an_accepted_group_is_accepted() -> None:
    result = accepted(
        scored("a", "b"), scored("b", "c"), scored("a", "c", 0.6), scored("a", "d", 0.6)
    )
    assert result == {"ab": True, "bc": True, "ac": True, "ad": False}


def test_one_to_one_accepts_the_likeliest_pair() -> None:
    result = accepted(
        scored("a", "x", 0.95), scored("a", "y", 0.99), rules=MatchRules(one_to_one=True)
    )
    assert result == {"ay": True, "ax": False}


@given(
    st.dictionaries(
        st.tuples(st.sampled_from("abcdefg"), st.sampled_from("abcdefg")).filter(
            lambda pair: pair[0] < pair[1]
        ),
        st.floats(0, 1),
    ),
    st.frozensets(st.frozensets(st.sampled_from("abcdefg"), min_size=2, max_size=2)),
)
def test_accepted_groups_never_hold_a_conflict(
    probabilities: dict[tuple[str, str], float], conflicts: frozenset[frozenset[str]]
) -> None:
    pairs = _ordered([scored(a, b, probability) for (a, b), probability in probabilities.items()])

    def conflict(a: str, b: str) -> bool:
        return frozenset((a, b)) in conflicts

    classified = classify(pairs, LIMITS, PERSON_RULES, excluded=never, conflict=conflict)
    found = groups(classified)
    assert not any(conflict(a, b) for group in found for a in group for b in group)


def groups(classified: Sequence[ClassifiedPair]) -> list[set[str]]:
    found: list[set[str]] = []
    for pair in (c.pair for c in classified if c.accepted):
        joined = {pair.a, pair.b}.union(*(g for g in found if g & {pair.a, pair.b}))
        found = [g for g in found if not g & joined] + [joined]
    return found
