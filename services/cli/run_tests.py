"""`onefold test`: the whole suite, linters and contracts included, on the real engines."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from services.devstack.stack import ROOT

FAULT_SEEDS = "ONEFOLD_FAULT_SEEDS"
#: Files go to several processes, one a core, each with engines of its own; many would starve them.
_SIDE_BY_SIDE = (
    *("-n", "auto", "--maxprocesses", "4"),
    # In the order of the files: what takes long comes first, and unit tests fill up the end.
    *("--dist", "loadfile", "--no-loadscope-reorder"),
)


def run_suite(arguments: Sequence[str], fault_seeds: int = 0) -> int:
    """Run pytest over tests/ (its exit code); with `fault_seeds`, the fault tests only.

    The whole suite runs side by side; what is named in `arguments` runs in one process.
    """
    env = dict(os.environ)
    chosen = list(arguments)
    if fault_seeds:
        env[FAULT_SEEDS] = str(fault_seeds)
        chosen = ["tests/faults", "--timeout", "7200", *chosen]
    elif not any((ROOT / argument.partition("::")[0]).exists() for argument in arguments):
        chosen = [*_SIDE_BY_SIDE, *chosen]
    return subprocess.call([sys.executable, "-m", "pytest", *chosen], cwd=ROOT, env=env)
