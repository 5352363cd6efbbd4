"""`onefold test`: the whole suite, linters and contracts included, on the real engines."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from services.chassis.embedded.stack import ROOT

FAULT_SEEDS = "ONEFOLD_FAULT_SEEDS"


def run_suite(arguments: Sequence[str], fault_seeds: int = 0) -> int:
    """Run pytest over tests/ (its exit code); with `fault_seeds`, the fault tests only."""
    env = dict(os.environ)
    chosen = list(arguments)
    if fault_seeds:
        env[FAULT_SEEDS] = str(fault_seeds)
        chosen = ["tests/faults", "--timeout", "7200", *chosen]
    return subprocess.call([sys.executable, "-m", "pytest", *chosen], cwd=ROOT, env=env)
