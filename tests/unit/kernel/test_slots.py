"""Tests that no holder has more slots than its limit, and that slots given back are free."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.slots import Slots


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans())), st.integers(0, 4))
def test_slots_of_a_holder_are_those_taken_and_not_given_back(
    steps: list[tuple[str, bool]], limit: int
) -> None:
    slots, expected = Slots(), Counter[str]()
    for holder, takes in steps:
        if takes:
            assert slots.take(holder, limit) == (expected[holder] < limit)
            expected[holder] = min(expected[holder] + 1, limit)
        elif expected[holder]:
            slots.give_back(holder)
            expected[holder] -= 1
        assert slots.held(holder) == expected[holder] <= limit
    assert len(slots) == sum(count > 0 for count in expected.values())


def test_slot_that_was_not_taken_cannot_be_given_back() -> None:
    with pytest.raises(KeyError):
        Slots().give_back("a")
