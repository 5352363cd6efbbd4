"""Measures journeys: dues beside plain SQL, parked runs, a burst of messages, a backtest.

python -m bench.journeys [--parts due,peers,parked,backtest,lag,burst] [--dues 5000]
    [--parked 1000000] [--people 100000]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import uvloop

from bench import journey_store, journey_system
from bench.harness import Result, print_results
from services.chassis.runtime import logs
from services.chassis.runtime.run import tune_gc

PARTS = (*journey_store.PARTS, *journey_system.PARTS)


async def measure(folder: Path, parts: list[str], options: argparse.Namespace) -> list[Result]:
    """Return the results of some parts."""
    results: list[Result] = []
    if set(parts).intersection(journey_store.PARTS):
        own = folder / "store", parts, options.dues, options.parked
        results += await journey_store.measure(*own)
    if set(parts).intersection(journey_system.PARTS):
        own_system = folder / "system", parts, options.people, options.parked
        results += await journey_system.measure(*own_system)
    return results


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS), help="separated by commas")
    parser.add_argument("--dues", type=int, default=journey_store.DUES)
    parser.add_argument("--parked", type=int, default=journey_store.PARKED)
    parser.add_argument("--people", type=int, default=journey_system.PEOPLE)
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := set(parts).difference(PARTS):
        parser.error(f"there is no part {min(unknown)!r}: choose some of {', '.join(PARTS)}")
    logs.configure("bench", "warning")
    # As in the services, some of whose work this process does.
    tune_gc()
    with tempfile.TemporaryDirectory(prefix="onefold-bench-") as folder:
        print_results(uvloop.run(measure(Path(folder), parts, options)))


if __name__ == "__main__":
    main()
