"""Measures the rebuild of all projections, beside a bare loop that folds the log in memory.

python -m bench.rebuild

The services are processes of their own, and serve while they rebuild. A third of the log is
rebuilt first, to check that the memory does not grow with the log; each time by services that have
just started, as their caches grow up to a bound.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop
from onefold.projection.v1.projection_service_pb2 import RebuildRequest, RebuildResponse
from onefold.type.v1.event_pb2 import Event

from bench import cpu, load
from bench.harness import Result, compare, interleave, print_progress, print_results
from bench.pipeline import define
from bench.worker import Worker, worker
from services import SERVICES
from services.chassis.postgres.database import connect_pool
from services.cli.commands.rebuild import REBUILT, TOGETHER
from services.client.client import ApiEndpoints, Client
from services.devstack.folders import load_secrets
from services.devstack.stack import Stack
from services.ingest.domain.facts import FactRow
from services.ingest.log import EventLog
from services.kernel.fold.events import EventView
from services.kernel.fold.leaf import LeafState, fold_event
from services.kernel.fold.predicate_index import PredicateIndex
from tests.index_key import INDEX_KEY

EVENTS = 300_000
ROUNDS = 5
WORKERS = 4
GOAL_RATE, GOAL_MEMORY = 40_000.0, 1.3
EVENT = Event.DESCRIPTOR.full_name


@dataclass(frozen=True, slots=True)
class Bench:
    """A running system, a client of it and a load."""

    stack: Stack
    client: Client
    generator: Worker

    async def append(self, events: int) -> int:
        """Send at least `events`, wait for all services, and return how many were sent."""
        result = await self.generator.run(do="load", events=events, callers=8)
        await self.generator.run(do="drain")
        return int(result["acknowledged"])

    async def rebuild(self, service: str, *, together: bool = False) -> int:
        """Rebuild one projection, and return how many facts it folded."""
        request = RebuildRequest(workers=WORKERS, together=together)
        method = self.client.projection(service).Rebuild
        last = RebuildResponse()
        async for response in method(request):
            last = response
        if not last.finished or not last.equal:
            raise RuntimeError(f"the rebuild of {service} ended early, or its digest differs")
        return last.done

    async def peak(self, service: str) -> int:
        """Return the most memory of the process during a rebuild, in bytes."""
        pid = self.stack.services[service].pid
        cpu.reset_peak(pid)
        await self.rebuild(service)
        return cpu.peak(pid)

    async def peaks(self) -> dict[str, int]:
        """Return the peak of every service, one after the other."""
        found = {service: await self.peak(service) for service in REBUILT}
        sizes = ", ".join(f"{service} {size / 1e6:,.0f} MB" for service, size in found.items())
        print_progress(f"peak memory: {sizes}")
        return found

    async def all_at_once(self) -> float:
        """Measure events per second, from the first service's start to the last one's end.

        Identity and profile read the log together, as `./onefold rebuild` makes them do.
        """
        began = time.perf_counter()
        rebuilds = (self.rebuild(one, together=one in TOGETHER) for one in REBUILT)
        done = await asyncio.gather(*rebuilds)
        return max(done) / (time.perf_counter() - began)


async def bare_loop(log: EventLog) -> float:
    """Measure events per second of a loop that reads the log and folds leaves, on one core."""
    index = PredicateIndex.from_rules(load.rules(load.pack()))
    leaves: dict[bytes | None, LeafState] = {}
    count, began = 0, time.perf_counter()
    for shard, end in enumerate((await log.heads()).token.offsets):
        async for rows in log.reader.read(shard, 0, end):
            for row in rows:
                if log.kinds.names[row.kind_id] == EVENT:
                    _fold(leaves, row, index)
            count += len(rows)
    return count / (time.perf_counter() - began)


def _fold(leaves: dict[bytes | None, LeafState], row: FactRow, index: PredicateIndex) -> None:
    event = Event.FromString(row.payload)
    state = leaves.get(row.leaf_id)
    if state is None:
        state = leaves[row.leaf_id] = LeafState()
    fact = (row.occurred_at_us, row.fact_id)
    view = EventView(event.type, event.name, *fact, event.properties, event.traits)
    fold_event(state, view, index)


async def run(folder: Path, events: int) -> list[Result]:
    """Measure both figures on one system."""
    file = folder / "load.bin"
    print_progress(f"writing {events:,} events")
    await asyncio.to_thread(load.write, file, events + 4_000, time.time_ns() // 1000)
    async with Stack(folder / "data") as stack:
        key = await define(stack)
    async with started(folder, key) as bench:
        print_progress(f"{await bench.append(events // 3):,} events are in the log")
    async with started(folder, key) as bench:
        few = await bench.peaks()
        print_progress(f"{await bench.append(events):,} events were sent, the first ones again")
    async with started(folder, key) as bench:
        many = await bench.peaks()
        rate = await measured(bench)
    return [rate, memory(few, many)]


@asynccontextmanager
async def started(folder: Path, key: str) -> AsyncIterator[Bench]:
    """Start the system, and a load from its beginning."""
    async with Stack(folder / "data") as stack, worker("bench.generator") as generator:
        await generator.run(
            ingest=stack.address("ingest"),
            last=stack.address(SERVICES[-1]),
            nats=stack.nats_url(SERVICES[-1]),
            bus_key=load_secrets(stack.data_dir)["bus"],
            admin_key=stack.admin_key,
            source_key=key,
            file=str(folder / "load.bin"),
        )
        addresses = {service: stack.address(service) for service in SERVICES}
        async with Client(ApiEndpoints(grpc=addresses, key=stack.internal_key)) as client:
            yield Bench(stack, client, generator)


async def measured(bench: Bench) -> Result:
    """Measure the rate of all rebuilds beside the bare loop."""
    pool = await connect_pool(bench.stack.postgres.superuser_dsn, schema="ingest")
    async with EventLog(pool, shards=4, index_key=INDEX_KEY) as log:
        contenders = {"rebuild": bench.all_at_once, "bare loop": lambda: bare_loop(log)}
        figures = await interleave(ROUNDS, contenders)
    await pool.close()
    found = compare(
        "rebuild_all",
        figures["rebuild"],
        figures["bare loop"],
        goal=GOAL_RATE,
        unit="events/s",
        note="goal in events/s: identity and profile, which read the log together, and segment "
        "side by side, from the start to the last comparison of digests; reference: one process "
        "that reads the log and folds leaves "
        "in memory",
    )
    return found.with_holds(found.figure >= GOAL_RATE)


def memory(few: dict[str, int], many: dict[str, int]) -> Result:
    """Return how the peak of memory grows when the log grows threefold, in the worst service."""
    worst = max(REBUILT, key=lambda service: many[service] / few[service])
    ratio = many[worst] / few[worst]
    sizes = ", ".join(f"{s} {few[s] / 1e6:.0f} to {many[s] / 1e6:.0f} MB" for s in REBUILT)
    return Result(
        name="rebuild_memory",
        unit="bytes",
        figure=float(many[worst]),
        reference=float(few[worst]),
        ratio=round(ratio, 3),
        spread=0.0,
        rounds=1,
        goal=GOAL_MEMORY,
        holds=ratio < GOAL_MEMORY,
        note=f"less is better: the peak with the whole log over that with a third of it; {sizes}",
    )


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    events = parser.parse_args().events
    with tempfile.TemporaryDirectory(prefix="onefold-bench-") as folder:
        print_results(uvloop.run(run(Path(folder), events)))


if __name__ == "__main__":
    main()
