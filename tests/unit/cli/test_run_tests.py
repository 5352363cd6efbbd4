"""Tests `./onefold test`: its options, and that one failure makes it fail."""

from __future__ import annotations

from typing import Any

import pytest

from services.cli.commands import development
from services.cli.commands.development import FAULT_MINUTES, FAULT_SEEDS, HYPOTHESIS_PROFILE


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """The arguments and the environment of each run of pytest, which fails."""
    seen = []

    def call(argv: list[str], *, env: dict[str, str], **_: Any) -> int:
        seen.append((argv, env))
        return 1

    monkeypatch.setattr(development.subprocess, "call", call)
    monkeypatch.delenv(HYPOTHESIS_PROFILE, raising=False)
    return seen


def test_exit_code_of_a_failed_test_is_returned_and_nothing_is_run_again(calls: list[Any]) -> None:
    assert development.run_tests([]) == 1
    ((argv, _),) = calls
    assert "no:rerunfailures" in argv
    assert not {"--reruns", "--lf", "--last-failed"} & set(argv)


def test_whole_suite_runs_in_parallel_and_a_named_file_in_one_process(calls: list[Any]) -> None:
    development.run_tests(["-x"])
    development.run_tests(["tests/unit/cli/test_run_tests.py::test_x"])
    assert ["-n" in argv for argv, _ in calls] == [True, False]


@pytest.mark.parametrize(("processors", "processes"), [(1, "2"), (2, "3"), (64, "4")])
def test_whole_suite_runs_in_more_processes_than_there_are_processors(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch, processors: int, processes: str
) -> None:
    monkeypatch.setattr(development, "usable_processors", lambda: processors)
    development.run_tests([])
    ((argv, _),) = calls
    assert argv[argv.index("-n") + 1] == processes


def test_run_that_may_not_write_bytecode_has_processes_that_write_it(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    development.run_tests([])
    ((_, env),) = calls
    assert "PYTHONDONTWRITEBYTECODE" not in env


def test_deep_sets_the_hypothesis_profile(calls: list[Any]) -> None:
    development.run_tests([], deep=True)
    development.run_tests([])
    assert [env.get(HYPOTHESIS_PROFILE) for _, env in calls] == ["deep", None]


def test_faults_runs_only_the_fault_tests_with_these_seeds(calls: list[Any]) -> None:
    development.run_tests([], fault_seeds=20, fault_minutes=60)
    ((argv, env),) = calls
    assert {"tests/faults", "tests/fleet"} <= set(argv)
    assert (env[FAULT_SEEDS], env[FAULT_MINUTES]) == ("20", "60")
