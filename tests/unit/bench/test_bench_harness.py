"""The report of a benchmark."""

from __future__ import annotations

import json

import pytest

from bench.harness import Contender, compare, interleave, print_results, spread


def test_a_result_is_the_ratio_of_medians() -> None:
    result = compare("a", [90, 120, 100], [50, 40, 60], goal=1.5, unit="events/s")
    assert (result.figure, result.reference, result.ratio) == (100, 50, 2.0)
    assert (result.rounds, result.goal, result.holds) == (3, 1.5, True)
    assert result.spread == 0.4


def test_a_goal_that_is_missed_is_told() -> None:
    assert not compare("a", [60], [50], goal=1.5, unit="events/s").holds


def test_without_a_reference_nothing_holds() -> None:
    result = compare("a", [60], [], goal=1.5, unit="events/s", note="it could not be had")
    assert (result.reference, result.ratio, result.holds) == (0, 0, False)


def test_the_spread_is_a_part_of_the_median() -> None:
    assert spread([80, 100, 130]) == 0.5
    assert spread([]) == 0


async def test_rounds_take_turns_and_the_first_one_warms_up() -> None:
    order: list[str] = []

    def contender(name: str) -> Contender:
        async def run() -> float:
            order.append(name)
            return len(order)

        return run

    figures = await interleave(2, {name: contender(name) for name in "ab"})
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert figures == {"a": [4, 5], "b": [3, 6]}


def test_the_report_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    print_results([compare("a", [2], [1], goal=1, unit="events/s")])
    [result] = json.loads(capsys.readouterr().out)["results"]
    keys = ("name", "unit", "figure", "reference", "ratio", "spread", "rounds", "goal", "holds")
    assert [key for key in result if key != "note"] == list(keys)
