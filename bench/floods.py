"""Measures how much longer an honest client waits while strangers flood ingest with all they have.

python -m bench.floods

The floods are those of tests/security/floods.py; rounds without and with them take turns.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import uvloop

from bench.harness import Result, compare, interleave, print_results
from services.chassis.runtime import logs
from tests.security.flooded_ingest import EVERY_S, FloodedIngest, flooded_ingest, stored
from tests.security.floods import pause

ROUNDS, ROUND_S = 5, 3.0
#: How long floods run before the waits are measured, and how long their end takes.
PAUSE_S = 0.5
#: What the wait of the slowest hundredth may become.
MOST_TIMES_SLOWER = 5.0


async def measure(ingest: FloodedIngest) -> Result:
    """Return the p99 of the waits beside the floods, over that without them.

    Raises RuntimeError where an event is refused or lost.
    """
    async with ingest.honest_client() as client, ingest.floods() as floods:

        async def quiet() -> float:
            waits = sorted(await client.send_for(ROUND_S))
            return waits[int(len(waits) * 0.99)] * 1e3

        async def flooded() -> float:
            await floods.command("start")
            await pause(PAUSE_S)
            figure = await quiet()
            await floods.command("stop")
            await pause(PAUSE_S)
            return figure

        figures = await interleave(ROUNDS, {"quiet": quiet, "flooded": flooded})
    found = await stored(ingest.stack.postgres.superuser_dsn, client.mark)
    if client.refused or found != client.sent:
        raise RuntimeError(f"{len(client.refused)} refused, {client.sent - found} lost")
    result = compare(
        "floods_p99",
        figures["flooded"],
        figures["quiet"],
        goal=MOST_TIMES_SLOWER,
        unit="ms",
        note=f"less is better, goal as a ratio; an event each {EVERY_S * 1e3:.0f} ms over HTTP; "
        "reference: the same client without floods",
    )
    return result.with_holds(result.ratio <= MOST_TIMES_SLOWER)


async def run(folder: Path) -> list[Result]:
    """Measure on an ingest of its own."""
    async with flooded_ingest(folder) as ingest:
        return [await measure(ingest)]


def main() -> None:
    """Print the report."""
    logs.configure("bench", "warning")
    with tempfile.TemporaryDirectory(prefix="onefold-bench-") as folder:
        print_results(uvloop.run(run(Path(folder))))


if __name__ == "__main__":
    main()
