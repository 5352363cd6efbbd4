"""Tests the scores of a grouping of identifiers."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.demo.expected import score_pairs

groupings = st.dictionaries(st.integers(0, 9), st.integers(0, 3), min_size=1)


@given(groupings, st.data())
def test_scores_of_random_groupings_are_precision_and_recall_of_pairs(
    correct: dict[int, int], data: st.DataObject
) -> None:
    found = {each: data.draw(st.integers(0, 3)) for each in correct}
    pairs = list(combinations(sorted(correct), 2))
    right = {(a, b) for a, b in pairs if correct[a] == correct[b]}
    joined = {(a, b) for a, b in pairs if found[a] == found[b]}
    scores = score_pairs(found, correct)
    assert scores.pairs == len(right)
    assert scores.precision == pytest.approx(len(right & joined) / len(joined) if joined else 1)
    assert scores.recall == pytest.approx(len(right & joined) / len(right) if right else 1)


def test_scores_count_an_identifier_that_was_not_found_as_a_group_of_its_own() -> None:
    assert score_pairs({1: "a"}, {1: "x", 2: "x"}) == (1.0, 0.0, 1)


@given(groupings)
def test_scores_of_renamed_groups_are_perfect(correct: dict[int, int]) -> None:
    renamed = {each: f"group {name}" for each, name in correct.items()}
    assert score_pairs(renamed, correct)[:2] == (1.0, 1.0)
