"""The command line as a user has it: one process a command, over one data folder."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.cli.endpoints import find_endpoints
from services.devstack.folders import ROOT
from services.devstack.ports import FIRST_PORT_VARIABLE


class CommandLine:
    """`onefold` over one data folder, on free ports."""

    def __init__(self, program: Path, data: Path) -> None:
        self._program = program
        self._data = data
        own = {"ONEFOLD_DATA": str(data), FIRST_PORT_VARIABLE: "0", "COLUMNS": "200"}
        self._environ = os.environ | own

    def __call__(self, *arguments: str, fails: bool = False) -> str:
        """Run a command, and return its output, or its errors where it fails."""
        run = subprocess.run(
            [self._program, *arguments],
            cwd=ROOT,
            env=self._environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert bool(run.returncode) == fails, run.stdout + run.stderr
        return run.stderr if fails else run.stdout

    def send(self, call: str, key: str, body: object) -> tuple[int, dict[str, Any]]:
        """Send a call of the Segment specification, such as `batch`; return status and response."""
        url = f"{find_endpoints(self._data).events_url}/v1/{call}"
        headers = {"Authorization": f"Bearer {key}"}
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def metrics(self, service: str) -> str:
        """Return the page of metrics of a running service."""
        url = f"{find_endpoints(self._data).operations_urls[service]}/metrics"
        with urllib.request.urlopen(url) as response:
            return str(response.read().decode())


@pytest.fixture
def onefold(onefold_program: Path, tmp_path: Path) -> Iterator[CommandLine]:
    """Provide the command line over a new folder; stop its system at the end."""
    command_line = CommandLine(onefold_program, tmp_path / "data")
    yield command_line
    command_line("down")
