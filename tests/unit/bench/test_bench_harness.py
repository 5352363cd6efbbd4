"""Tests the results and the report of benchmarks."""

from __future__ import annotations

import json

import pytest

from bench.harness import Contender, compare, interleave, print_results, spread


def test_result_is_the_ratio_of_medians() -> None:
    result = compare("a", [90, 120, 100], [50, 40, 60], goal=1.5, unit="events/s")
    assert (result.figure, result.reference, result.ratio) == (100, 50, 2.0)
    assert (result.rounds, result.goal, result.holds) == (3, 1.5, True)
    assert result.spread == 0.4


def test_result_below_the_goal_does_not_hold() -> None:
    assert not compare("a", [60], [50], goal=1.5, unit="events/s").holds


def test_result_without_a_reference_does_not_hold() -> None:
    result = compare("a", [60], [], goal=1.5, unit="events/s", note="it is not available")
    assert (result.reference, result.ratio, result.holds) == (0, 0, False)


def test_spread_is_a_part_of_the_median() -> None:
    assert spread([80, 100, 130]) == 0.5
    assert spread([]) == 0


async def test_rounds_rotate_the_contenders_after_one_round_to_warm_up() -> None:
    order: list[str] = []

    def contender(name: str) -> Contender:
        async def run() -> float:
            order.append(name)
            return len(order)

        return run

    figures = await interleave(2, {name: contender(name) for name in "ab"})
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert figures == {"a": [4, 5], "b": [3, 6]}


def test_report_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    print_results([compare("a", [2], [1], goal=1, unit="events/s")])
    [result] = json.loads(capsys.readouterr().out)["results"]
    keys = ("name", "unit", "figure", "reference", "ratio", "spread", "rounds", "goal", "holds")
    assert [key for key in result if key != "note"] == list(keys)
