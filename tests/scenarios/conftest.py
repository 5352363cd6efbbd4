"""The command line as a user has it: one process a command, over one data folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.devstack.stack import ROOT


class CommandLine:
    """`onefold` over one data folder."""

    def __init__(self, data: Path) -> None:
        self._environ = os.environ | {"ONEFOLD_DATA": str(data), "COLUMNS": "200"}

    def __call__(self, *arguments: str, fails: bool = False) -> str:
        run = subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments],
            cwd=ROOT,
            env=self._environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert bool(run.returncode) == fails, run.stdout + run.stderr
        return run.stderr if fails else run.stdout

    def send(self, call: str, key: str, body: object) -> tuple[int, dict[str, Any]]:
        """Sends to a door of the Segment specification, such as `batch`: status and answer."""
        door = next(w for w in self("status").split() if w.startswith("http://"))
        request = urllib.request.Request(
            f"{door}/v1/{call}", json.dumps(body).encode(), {"Authorization": f"Bearer {key}"}
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)


@pytest.fixture
def onefold(tmp_path: Path) -> Iterator[CommandLine]:
    """The command line over a folder of its own; what it started is stopped at the end."""
    command_line = CommandLine(tmp_path / "data")
    yield command_line
    command_line("down")
