"""Runs every linter; a rule that is not followed has its reason here."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
from architecture.source_tree import ROOT, message, must_pass, run, under

#: Rules of squawk that no migration follows, each with its reason.
SQUAWK_LEFT_OUT = {
    "prefer-bigint-over-int": "shards, versions and ordinals count to thousands",
    "prefer-bigint-over-smallint": "enums and shards; in the log each byte is paid a billion times",
    "require-lock-timeout": "one process migrates at a time, and serves only after it",
    "require-statement-timeout": "a migration that was cut off would only begin again",
}
#: Rules that one migration breaks, each with its reason.
SQUAWK_LET_PASS: dict[tuple[str, str], str] = {
    (
        "services/ingest/store/migrations/0006_erased_at.sql",
        "require-concurrent-index-creation",
    ): "the table has one row for each erasure, and ingest serves only after it",
    (
        "services/activation/store/migrations/0009_moves.sql",
        "require-concurrent-index-creation",
    ): "no row is of a move before it, and activation serves only after it",
}


def test_ruff_finds_nothing() -> None:
    must_pass("ruff", "check", ".")


def test_ruff_format_changes_nothing() -> None:
    must_pass("ruff", "format", "--check", ".")


def test_mypy_finds_nothing() -> None:
    must_pass("mypy", "services", "protos/generate.py", "docs")


def test_buf_lint_finds_nothing() -> None:
    must_pass("buf", "lint", cwd=ROOT / "protos")


def test_buf_format_changes_nothing() -> None:
    must_pass("buf", "format", "--diff", "--exit-code", cwd=ROOT / "protos")


def test_generated_code_is_fresh() -> None:
    must_pass("python", "protos/generate.py", "--check")


def migrations() -> list[str]:
    found = [s.path for s in under("services", suffix=".sql")]
    return [path for path in found if path.split("/")[-2] in ("migrations", "state")]


def squawk(*more: str) -> list[dict[str, Any]]:
    options = ["--pg-version", "15", "--assume-in-transaction", "--reporter", "json"]
    found: list[dict[str, Any]] = json.loads(run("squawk", *options, *more, *migrations()).stdout)
    return found


def test_squawk_finds_nothing_but_its_exceptions() -> None:
    places = [
        f"{f['file']}:{f['line'] + 1} {f['rule_name']} {f['message']}"
        for f in squawk(*(f"--exclude={rule}" for rule in SQUAWK_LEFT_OUT))
        if (f["file"], f["rule_name"]) not in SQUAWK_LET_PASS
    ]
    assert not places, message(places, "squawk")


def test_squawk_exceptions_are_all_needed() -> None:
    broken = {(f["file"], f["rule_name"]) for f in squawk()}
    idle = SQUAWK_LEFT_OUT.keys() - {rule for _, rule in broken}
    assert not idle, f"remove the exception that nothing needs: {idle}"
    assert SQUAWK_LET_PASS.keys() <= broken, "remove the exception that nothing needs"


def test_hadolint_finds_nothing() -> None:
    must_pass("hadolint", "Dockerfile")


def test_compose_file_matches_its_schema() -> None:
    must_pass("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")


@pytest.mark.parametrize(("script", "shell"), [("onefold", "sh"), (".ci/run", "bash")])
def test_scripts_are_executable_and_parse(script: str, shell: str) -> None:
    assert os.access(ROOT / script, os.X_OK), f"{script} is not executable"
    read = subprocess.run(
        [shell, "-n", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert read.returncode == 0, read.stderr
