"""Measures segments: rules, sets of members, a back-fill, people who are due, large profiles.

python -m bench.segments [--parts rules,sets,backfill,due,reads] [--people 100000]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import uvloop

from bench import segment_rules, segment_sets, segment_system
from bench.harness import Result, print_results
from services.chassis.runtime import logs

#: Those that need no running system.
PURE_PARTS = ("rules", "sets")
PARTS = (*PURE_PARTS, *segment_system.PARTS)


async def measure(folder: Path, parts: list[str], people: int) -> list[Result]:
    """Return the results of some parts."""
    results: list[Result] = []
    if "rules" in parts:
        results += await segment_rules.measure()
    if "sets" in parts:
        results += await segment_sets.measure(folder / "sets")
    if not set(parts).issubset(PURE_PARTS):
        results += await segment_system.measure(folder / "system", people, parts)
    return results


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS), help="separated by commas")
    parser.add_argument("--people", type=int, default=segment_system.PEOPLE)
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := set(parts).difference(PARTS):
        parser.error(f"there is no part {min(unknown)!r}: choose some of {', '.join(PARTS)}")
    logs.configure("bench", "warning")
    with tempfile.TemporaryDirectory(prefix="onefold-bench-") as folder:
        print_results(uvloop.run(measure(Path(folder), parts, options.people)))


if __name__ == "__main__":
    main()
