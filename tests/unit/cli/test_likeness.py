"""Groupings of the same identifiers, compared by their pairs."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.demo.pairwise_scores import likeness

groupings = st.dictionaries(st.integers(0, 9), st.integers(0, 3), min_size=1)


@given(groupings, st.data())
def test_precision_and_recall_are_those_of_pairs(
    planted: dict[int, int], data: st.DataObject
) -> None:
    found = {one: data.draw(st.integers(0, 3)) for one in planted}
    pairs = list(combinations(sorted(planted), 2))
    right = {(a, b) for a, b in pairs if planted[a] == planted[b]}
    joined = {(a, b) for a, b in pairs if found[a] == found[b]}
    told = likeness(found, planted)
    assert told.pairs == len(right)
    assert told.precision == pytest.approx(len(right & joined) / len(joined) if joined else 1)
    assert told.recall == pytest.approx(len(right & joined) / len(right) if right else 1)


def test_what_was_not_found_is_alone() -> None:
    assert likeness({1: "a"}, {1: "x", 2: "x"}) == (1.0, 0.0, 1)


@given(groupings)
def test_the_same_groups_under_other_names_are_the_same(planted: dict[int, int]) -> None:
    renamed = {one: f"group {name}" for one, name in planted.items()}
    assert likeness(renamed, planted)[:2] == (1.0, 1.0)
