"""Checks that properties try something: neither filters nor refusals take all of their examples."""

from __future__ import annotations

import ast

import pytest
from architecture.source_tree import Source, message, under
from hypothesis import assume, given
from hypothesis import strategies as st
from properties import HollowProperty, asserting

#: Health checks that a test may suppress, as it makes its own objects for each example.
HARMLESS = {"function_scoped_fixture"}


def suppressed_checks(file: Source) -> list[str]:
    """Return the health checks that a file suppresses and that find properties without examples."""
    return [
        f"{file.path}:{node.lineno} {ast.unparse(node)}"
        for node in ast.walk(file.tree)
        if isinstance(node, ast.keyword) and node.arg == "suppress_health_check"
        for name in [{n.attr for n in ast.walk(node.value) if isinstance(n, ast.Attribute)}]
        if not name or name - HARMLESS
    ]


def test_no_property_suppresses_the_check_for_filtered_examples() -> None:
    found = [each for file in under("tests") for each in suppressed_checks(file)]
    assert not found, message(found, "build the examples instead of filtering them")


@pytest.mark.parametrize("checks", ["[HealthCheck.filter_too_much]", "list(HealthCheck)", "all_"])
def test_planted_suppression_is_found(checks: str) -> None:
    planted = f"@settings(suppress_health_check={checks})\ndef test_x(): ..."
    assert suppressed_checks(Source("tests/unit/test_x.py", planted))


@given(st.integers())
def _returns_before_it_asserts(number: int) -> None:
    if number != 2**200:
        return
    assert number


@given(st.integers())
def _asserts_nothing(number: int) -> None:
    str(number)


@given(st.integers())
def _asserts_what_it_assumes(number: int) -> None:
    assume(number % 2)
    _check_odd(number)


@given(st.integers())
def _expects_an_error(number: int) -> None:
    with pytest.raises(ValueError, match="x"):
        int(f"{number}x")


def _check_odd(number: int) -> None:
    assert number % 2


@pytest.mark.parametrize("planted", [_returns_before_it_asserts, _asserts_nothing])
def test_property_whose_examples_reach_no_assertion_fails(planted: object) -> None:
    with pytest.raises(HollowProperty, match="0 of 30"), asserting(planted):
        planted()  # type: ignore[operator]


@pytest.mark.parametrize("planted", [_asserts_what_it_assumes, _expects_an_error])
def test_property_whose_examples_reach_assertions_passes(planted: object) -> None:
    with asserting(planted):
        planted()  # type: ignore[operator]
