"""Runs the whole test suite, linters and contracts included, on real servers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from services.devstack.folders import ROOT

FAULT_SEEDS = "ONEFOLD_FAULT_SEEDS"
HYPOTHESIS_PROFILE = "ONEFOLD_HYPOTHESIS_PROFILE"
#: Files are run by several processes, one per core, each with servers of its own; more than four
#: would be too much for one machine.
_PARALLEL = (
    *("-n", "auto", "--maxprocesses", "4"),
    # In the order of the files: the slow ones come first, and unit tests fill up the end.
    *("--dist", "loadfile", "--no-loadscope-reorder"),
)
#: A test that fails once is a failure: no plugin may run it again.
_NO_RERUNS = ("-p", "no:rerunfailures", "-p", "no:flaky")


def run_tests(arguments: Sequence[str], *, fault_seeds: int = 0, deep: bool = False) -> int:
    """Run pytest over tests/, and return its exit code: 0 only where every test passed.

    `fault_seeds`: run only the fault tests, with this many seeds. `deep`: run property tests with
    many more examples. The whole suite runs in parallel; tests named in `arguments` run in one
    process.
    """
    environ = dict(os.environ)
    if deep:
        environ[HYPOTHESIS_PROFILE] = "deep"
    options = [*_NO_RERUNS, *arguments]
    if fault_seeds:
        environ[FAULT_SEEDS] = str(fault_seeds)
        options = ["tests/faults", "--timeout", "7200", *options]
    elif not any((ROOT / argument.partition("::")[0]).exists() for argument in arguments):
        options = [*_PARALLEL, *options]
    return subprocess.call([sys.executable, "-m", "pytest", *options], cwd=ROOT, env=environ)
