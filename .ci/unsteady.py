"""Names the tests that failed once and passed when they ran again.

    python .ci/unsteady.py FIRST.xml SECOND.xml

Reads two JUnit reports: of the whole suite, and of a second run of what failed in it. Prints
`unsteady: NAME` for each test that failed first and passed then. The exit code is 1 where a test
failed twice or did not run again, and where more than two tests are unsteady.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

#: A busy machine may upset this many tests before the run counts as failed.
MOST_UNSTEADY = 2


def outcomes(report: Path) -> dict[str, bool]:
    """Return for each test of a report whether it passed or was skipped."""
    found: dict[str, bool] = {}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  # pytest wrote it
        name = f"{case.get('classname')}::{case.get('name')}"
        passed = case.find("failure") is None and case.find("error") is None
        # A test whose teardown fails is reported twice.
        found[name] = found.get(name, True) and passed
    return found


def judge(first: dict[str, bool], second: dict[str, bool]) -> tuple[list[str], list[str]]:
    """Return the unsteady tests and those that failed twice or did not run again."""
    failed = [name for name, passed in first.items() if not passed]
    unsteady = [name for name in failed if second.get(name, False)]
    broken = [name for name in failed if not second.get(name, False)]
    broken += [name for name, passed in second.items() if not passed and name not in broken]
    return unsteady, broken


def main(first: str, second: str) -> int:
    """Print the unsteady tests; return the exit code."""
    unsteady, broken = judge(outcomes(Path(first)), outcomes(Path(second)))
    for name in unsteady:
        print(f"unsteady: {name}")
    for name in broken:
        print(f"failed twice: {name}")
    if len(unsteady) > MOST_UNSTEADY:
        print(f"{len(unsteady)} tests are unsteady, at most {MOST_UNSTEADY} may be")
    return int(bool(broken) or len(unsteady) > MOST_UNSTEADY)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
