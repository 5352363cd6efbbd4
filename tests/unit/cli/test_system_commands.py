"""Tests what `./onefold up` prints while the system starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.cli import output
from services.cli.commands.system import _next_steps, _show_start, up
from services.cli.endpoints import default_data_dir
from services.devstack.errors import ServerError
from services.devstack.folders import make_folder
from services.devstack.ports import DEFAULT_PORTS, FIRST_PORT_VARIABLE

LOG = Path("supervisor.log")


def supervisor(*events: dict[str, Any]) -> Any:
    """Return a process that has printed these events."""
    return SimpleNamespace(stdout=[json.dumps(event) for event in events])


def test_start_shows_steps_and_notices_until_the_stack_is_ready(
    capsys: pytest.CaptureFixture[str],
) -> None:
    notice = "port 7810 is in use: ingest_http listens on 15000"
    steps = ({"step": "nats", "done": False}, {"step": "nats", "done": True})
    _show_start(supervisor(*steps, {"notice": notice}, {"ready": True}), LOG)
    printed = capsys.readouterr().err
    assert "nats is ready" in printed
    assert notice in printed


def test_failed_start_raises_the_error_of_the_supervisor() -> None:
    with pytest.raises(ServerError, match="port 7810 is in use"):
        _show_start(supervisor({"error": "port 7810 is in use"}), LOG)


def test_start_that_ends_without_a_result_raises_an_error_with_the_log() -> None:
    with pytest.raises(ServerError, match=r"supervisor\.log"):
        _show_start(supervisor(), LOG)


def test_help_of_up_names_the_default_ports() -> None:
    text = up.__doc__ or ""
    kinds = ("grpc", "internal_grpc", "internal_http")
    ends = [f"{service}_{kind}" for service in ("ingest", "activation") for kind in kinds]
    for name in ("ingest_http", *ends, "postgres", "nats", "nats_monitor"):
        assert str(DEFAULT_PORTS[name]) in text
    assert FIRST_PORT_VARIABLE not in text, "the option names it"


def test_next_steps_after_up_use_the_same_data_folder() -> None:
    assert "--data" not in _next_steps(default_data_dir())
    steps = _next_steps(Path("my data"))
    assert steps.count("--data 'my data'`") == 3
    assert "`./onefold status --data 'my data'`" in steps


def test_arguments_that_contradict_each_other_end_the_command_with_one_line() -> None:
    given = ("correct", "user_id:u-1", "city", "x", "--withdraw", "--reason", "called")
    paths = os.pathsep.join(path for path in sys.path if path)
    ended = subprocess.run(
        (sys.executable, "-m", "services.cli", *given),
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "error give the right value, or --withdraw and none\n"


def test_folder_that_cannot_be_made_ends_a_command_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SystemExit), output.exit_on_error():
        make_folder(file / "data")
    assert capsys.readouterr().err.replace("\n", "").endswith(f"{file}/data: Not a directory")
    with pytest.raises(ConnectionError), output.exit_on_error():
        raise ConnectionError("this is a mistake of the program")
