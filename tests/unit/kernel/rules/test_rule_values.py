"""Comparisons of JSON values are total and equal those of the oracle."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import rules_oracle as oracle
from oracle import rules_strategies as some
from properties import examples

from services.kernel.rules.values import Operator, literal, number, scalar_key
from services.kernel.rules.values import comparison_of as make_test

TRUE = [
    ("a", Operator.EQ, "a"),
    (1, Operator.EQ, 1.0),
    (1.0, Operator.EQ, 1),
    (True, Operator.EQ, True),
    (2**70, Operator.EQ, 2**70),
    (None, Operator.NE, "a"),
    ("1", Operator.NE, 1),
    (1, Operator.NE, True),
    ([1], Operator.NE, 1),
    ("北", Operator.LT, "北京"),
    (-1, Operator.LT, 0.5),
    (3, Operator.LE, 3),
    (3.5, Operator.GT, 3),
    ("b", Operator.GE, "a"),
    (1.0, Operator.IN, [1, 2]),
    (False, Operator.IN, [False]),
    ("", Operator.EXISTS, None),
    (False, Operator.EXISTS, None),
    ([], Operator.EXISTS, None),
    ("course_1", Operator.CONTAINS, "_1"),
    (["a", 1.0], Operator.CONTAINS, 1),
]
FALSE = [
    ("A", Operator.EQ, "a"),
    (None, Operator.EQ, "a"),
    (0, Operator.EQ, False),
    ({"a": 1}, Operator.EQ, "a"),
    ("10", Operator.LT, 9),
    (None, Operator.LT, 9),
    (True, Operator.GT, 0),
    ([1], Operator.GE, 0),
    (None, Operator.IN, [1]),
    (True, Operator.IN, [1]),
    ([1], Operator.IN, [1]),
    (None, Operator.EXISTS, None),
    ("a1", Operator.CONTAINS, 1),
    ([True], Operator.CONTAINS, 1),
    ({"a": 1}, Operator.CONTAINS, "a"),
    (10**400, Operator.LT, 0),
]


@pytest.mark.parametrize(("left", "operator", "right"), TRUE)
def test_comparison_is_true(left: Any, operator: Operator, right: Any) -> None:
    assert make_test(operator, literal(operator, right))(left) is True


@pytest.mark.parametrize(("left", "operator", "right"), FALSE)
def test_comparison_is_false(left: Any, operator: Operator, right: Any) -> None:
    assert make_test(operator, literal(operator, right))(left) is False


@examples(300)
@given(some.values, some.comparisons())
def test_comparison_equals_that_of_the_oracle(
    left: Any, comparison: tuple[Operator, Any, bool]
) -> None:
    operator, right, ignore_case = comparison
    value = literal(operator, right, ignore_case=ignore_case)
    result = make_test(operator, value, ignore_case=ignore_case)(left)
    assert result is oracle.compare(operator, left, right, ignore_case=ignore_case)


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=2), parts),
    max_leaves=5,
)


@examples(200)
@given(any_json, some.comparisons())
def test_comparison_with_any_data_does_not_raise(
    left: Any, comparison: tuple[Operator, Any, bool]
) -> None:
    operator, right, ignore_case = comparison
    value = literal(operator, right, ignore_case=ignore_case)
    assert make_test(operator, value, ignore_case=ignore_case)(left) in (True, False)
    scalar_key(left)


@given(st.integers() | st.floats(allow_nan=False), st.integers() | st.floats(allow_nan=False))
def test_keys_of_different_numbers_differ(a: float, b: float) -> None:
    assert (scalar_key(a) == scalar_key(b)) is (number(a) == number(b))


def test_keys_of_different_types_differ() -> None:
    keys = [scalar_key(value) for value in ("1", 1, True, "true", "n1", 1.5, "1.5")]
    assert len(set(keys)) == len(keys)
    assert scalar_key(-0.0) == scalar_key(0) == "n0"
    assert [scalar_key(value) for value in (None, [], {})] == [None, None, None]
