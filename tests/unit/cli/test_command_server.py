"""Tests that commands in forks of the command server end as those of processes of their own do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.devstack.folders import ROOT


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["apply", "-f", "/dev/stdin", "--data", "empty"],
        ["status", "--data", "empty"],
    ],
    ids=" ".join,
)
def test_command_in_a_fork_ends_as_one_of_a_process_does(
    onefold_program: Path, tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "empty").mkdir()
    path = f"{ROOT}:{ROOT / 'gen'}"
    ends = [
        subprocess.run(
            [*command, *arguments],
            cwd=tmp_path,
            env=os.environ | {"COLUMNS": "70", "PYTHONPATH": path},
            input="segments: [{id: Not an id}]",
            capture_output=True,
            text=True,
            check=False,
        )
        for command in ([onefold_program], [sys.executable, "-m", "services.cli"])
    ]
    forked, own = [(end.returncode, end.stdout, end.stderr) for end in ends]
    assert forked == own
    assert any(forked[1:])
