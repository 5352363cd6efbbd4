"""Measures what one command to a running system costs: its start, and its memory at rest.

python -m bench.startup

`./onefold up` over a new data folder, with every program installed, and once more over the same
one. The reference of the start is the interpreter with the imports of all services, once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.cpu import family, family_seconds, proportional_memory
from bench.harness import Result, compare, print_progress, print_results
from services import SERVICES
from services.cli.endpoints import stack_file
from services.devstack.ports import FIRST_PORT_VARIABLE

#: Megabytes of a system without events, and seconds until it is ready, on a machine of two cores.
GOAL_MB, GOAL_S = 1_000.0, 20.0
#: How long a system is at rest before its memory is measured, seconds.
_REST_S = 10.0


def onefold(data: Path, command: str) -> float:
    """Run a command of the command line over a data folder; return the seconds that it took."""
    begin = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "services.cli", command, "--data", str(data)],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, FIRST_PORT_VARIABLE: "0"},
    )
    return time.monotonic() - begin


def supervisor_of(data: Path) -> int:
    """Return the process from which all others of a running system descend."""
    return int(json.loads(stack_file(data).read_text("utf-8"))["supervisor_pid"])


def import_seconds() -> float:
    """Return how long a new interpreter takes to import all services."""
    begin = time.monotonic()
    imports = "; ".join(f"import services.{name}.service" for name in SERVICES)
    subprocess.run([sys.executable, "-c", imports], check=True)
    return time.monotonic() - begin


def measure(data: Path) -> list[Result]:
    """Start and stop a system over a new folder twice."""
    reference = import_seconds()
    results = []
    for name in ("start_of_a_new_system", "start_again"):
        seconds = onefold(data, "up")
        result = compare(name, [seconds], [reference], goal=GOAL_S, unit="s")
        results.append(result.with_holds(seconds <= GOAL_S))
        time.sleep(_REST_S)
        pid = supervisor_of(data)
        memory = proportional_memory(family(pid)) / 1e6
        print_progress(f"{name}: {seconds:.1f} s, {memory:.0f} MB")
        print_progress(f"processor time since the start: {family_seconds(pid):.1f} s")
        onefold(data, "down")
    held = compare("memory_at_rest", [memory], [], goal=GOAL_MB, unit="MB")
    return [*results, held.with_holds(memory <= GOAL_MB)]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="onefold-startup-") as folder:
        print_results(measure(Path(folder) / "data"))


if __name__ == "__main__":
    main()
