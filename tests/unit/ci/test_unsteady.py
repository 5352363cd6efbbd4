"""The script that names unsteady tests reads two reports as it should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / ".ci" / "unsteady.py"


def report(folder: Path, name: str, **passed: bool) -> Path:
    file = folder / f"{name}.xml"
    cases = "".join(
        f'<testcase classname="t" name="{test}">{"" if ok else "<failure/>"}</testcase>'
        for test, ok in passed.items()
    )
    file.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>", "utf-8")
    return file


@pytest.mark.parametrize(
    ("first", "second", "code", "lines"),
    [
        ({"a": True, "b": False}, {"b": True}, 0, ["unsteady: t::b"]),
        ({"a": False, "b": False}, {"a": True, "b": True}, 0, ["unsteady: t::a", "unsteady: t::b"]),
        ({"a": False}, {"a": False}, 1, ["failed twice: t::a"]),
        ({"a": False}, {}, 1, ["failed twice: t::a"]),
        ({"a": True}, {"b": False}, 1, ["failed twice: t::b"]),
    ],
)
def test_unsteady_script_with_two_reports_names_the_differing_tests(
    tmp_path: Path, first: dict[str, bool], second: dict[str, bool], code: int, lines: list[str]
) -> None:
    files = report(tmp_path, "first", **first), report(tmp_path, "second", **second)
    done = subprocess.run(
        [sys.executable, SCRIPT, *files], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.splitlines()) == (code, lines)


def test_unsteady_script_with_three_unsteady_tests_fails(tmp_path: Path) -> None:
    tests = ("a", "b", "c")
    first = report(tmp_path, "first", **dict.fromkeys(tests, False))
    second = report(tmp_path, "second", **dict.fromkeys(tests, True))
    done = subprocess.run(
        [sys.executable, SCRIPT, first, second], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "3 tests are unsteady, at most 2 may be"
