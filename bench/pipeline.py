"""Measures the whole pipeline, from an accepted event to a saved and relayed membership.

python -m bench.pipeline

PostgreSQL, NATS, the five services and the load, each a process of its own, share this machine.
The load is an endless education month over gRPC. It has a bounded number of events in flight, so
its rate is that of the slowest part, sustained for a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SOURCE

from bench import cpu, load
from bench.generator import LAST_STREAM
from bench.harness import Result, print_progress, print_results
from bench.worker import Worker, worker
from services import SERVICES
from services.chassis.postgres.database import connect
from services.cli.commands.packs import apply_pack
from services.client.client import ApiEndpoints, Client
from services.devstack.folders import load_secrets
from services.devstack.stack import Stack
from tests.index_key import INDEX_KEY_TEXT

#: Events per second, microseconds of processor time an event, and milliseconds at `PACED_RATE`.
GOAL_RATE, GOAL_COST_US, GOAL_P99_MS = 13_000.0, 150.0, 1_000.0
PACED_RATE = 5_000.0
CALLERS = 8
#: The most events in flight: those of some seconds.
WINDOW = 40_000
PROBES_A_SECOND = 10.0
COPIED = 100_000


@dataclass(frozen=True, slots=True)
class Durations:
    """How long to measure, in seconds."""

    warm_up: float = 15.0
    sustained: float = 60.0
    paced: float = 30.0

    def events(self) -> int:
        """Return the most events that can be needed."""
        return int((self.warm_up + self.sustained) * 2 * GOAL_RATE + self.paced * 2 * PACED_RATE)


async def define(stack: Stack) -> str:
    """Apply the education pack with a file as destination, and return the key of a source."""
    addresses = {service: stack.address(service) for service in SERVICES}
    async with Client(ApiEndpoints(grpc=addresses, key=stack.admin_key)) as client:
        await apply_pack(client, load.pack())
        request = admin_pb.IssueKeyRequest(role=ROLE_SOURCE, source_id="school-app", title="load")
        return str((await client.admin.IssueKey(request)).key)


async def sustained(stack: Stack, generator: Worker, durations: Durations) -> tuple[float, float]:
    """Measure the events per second that have reached the last service, and the microseconds of
    processor time of an event."""
    how = {"callers": CALLERS, "window": WINDOW}
    await generator.run(do="sustain", seconds=durations.warm_up, **how)
    used, began = await cpu.times(stack, {"generator": generator.pid}), time.monotonic()
    result = await generator.run(do="sustain", seconds=durations.sustained, **how)
    spent = cpu.by_name(used, await cpu.times(stack, {"generator": generator.pid}))
    (first_at, first), (last_at, last) = result["progress"][0], result["progress"][-1]
    rate = (last - first) / (last_at - first_at)
    cpu.print_costs(spent, last - first, time.monotonic() - began)
    drained = await generator.run(do="drain")
    print_progress(f"{rate:,.0f} events/s; all of {drained['reached']:,} were reached at the end")
    return rate, sum(spent.values()) / (last - first) * 1e6


async def copied(stack: Stack) -> float:
    """Measure the events per second of COPY, 1,000 per commit, into a table like the log's."""
    conn = await connect(stack.postgres.superuser_dsn, schema="ingest")
    try:
        await conn.execute("CREATE TABLE fact_copied (LIKE fact INCLUDING ALL)")
        rows = await conn.fetch('SELECT * FROM fact ORDER BY shard, "offset" LIMIT $1', COPIED)
        began = time.perf_counter()
        for start in range(0, len(rows), 1_000):
            await conn.copy_records_to_table("fact_copied", records=rows[start : start + 1_000])
        return len(rows) / (time.perf_counter() - began)
    finally:
        await conn.close()


async def delayed(generator: Worker, durations: Durations) -> tuple[float, str]:
    """Measure the 99th percentile of milliseconds from acknowledgement to membership."""
    how = {"rate": PACED_RATE, "probes": PROBES_A_SECOND}
    await generator.run(do="pace", seconds=5, name="warm", **how)
    result = await generator.run(do="pace", seconds=durations.paced, name="probe", **how)
    waited = sorted(result["waited"])
    if not waited or result["missing"]:
        raise RuntimeError(f"{result['missing']} memberships are missing")

    def at(part: float) -> float:
        return waited[min(len(waited) - 1, int(part * len(waited)))] * 1e3

    note = f"{len(waited)} people; median {at(0.5):.0f} ms, p90 {at(0.9):.0f}, max {at(1):.0f}"
    print_progress(f"p99 {at(0.99):.0f} ms; {note}")
    return at(0.99), note


@asynccontextmanager
async def loaded_system(
    folder: Path, durations: Durations, streams: Mapping[str, str] = {LAST_STREAM: SERVICES[-1]}
) -> AsyncIterator[tuple[Stack, Worker]]:
    """Run the system, and the load as a process of its own.

    `streams`: those in which it looks for people, each with the service that consumes it.
    """
    file = folder / "load.bin"
    print_progress(f"writing {durations.events():,} events")
    await asyncio.to_thread(load.write, file, durations.events(), time.time_ns() // 1000)
    # The load computes ids of profiles, so it has the same key.
    settings = {"ONEFOLD_INDEX_KEY": INDEX_KEY_TEXT}
    async with Stack(folder / "data", settings=settings) as stack:
        task = {
            "ingest": stack.address("ingest"),
            "last": stack.address(SERVICES[-1]),
            "nats": {stream: stack.nats_url(service) for stream, service in streams.items()},
            "bus_key": load_secrets(stack.data_dir)["bus"],
            "admin_key": stack.admin_key,
            "source_key": await define(stack),
            "file": str(file),
        }
        async with worker("bench.generator") as generator:
            await generator.run(**task)
            yield stack, generator


async def run(folder: Path, durations: Durations) -> list[Result]:
    """Measure both figures on one system."""
    async with loaded_system(folder, durations) as (stack, generator):
        rate, cost = await sustained(stack, generator, durations)
        p99, waits = await delayed(generator, durations)
        reference = await copied(stack)
    return [
        Result(
            name="pipeline_events",
            unit="events/s",
            figure=round(rate, 1),
            reference=round(reference, 1),
            ratio=round(rate / reference, 3),
            spread=0.0,
            rounds=1,
            goal=GOAL_RATE,
            holds=rate >= GOAL_RATE and cost <= GOAL_COST_US,
            note=f"goal in events/s, and {GOAL_COST_US:.0f} us of CPU per event; one run of "
            f"{durations.sustained:.0f} s, not interleaved; {cost:.0f} us of CPU per event; "
            "reference: COPY of the same facts in batches of "
            "1000, one commit each, into a table with the same columns and indexes",
        ),
        Result(
            name="pipeline_p99",
            unit="ms",
            figure=round(p99, 1),
            reference=0.0,
            ratio=0.0,
            spread=0.0,
            rounds=1,
            goal=GOAL_P99_MS,
            holds=p99 <= GOAL_P99_MS,
            note=f"less is better; at {PACED_RATE:.0f} events/s; {waits}",
        ),
    ]


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Durations()
    parser.add_argument("--warm-up", type=float, default=default.warm_up)
    parser.add_argument("--sustained", type=float, default=default.sustained)
    parser.add_argument("--paced", type=float, default=default.paced)
    durations = Durations(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory(prefix="onefold-bench-") as folder:
        print_results(uvloop.run(run(Path(folder), durations)))


if __name__ == "__main__":
    main()
