"""Measures ingest over HTTP and gRPC, beside the log's append and beside bare servers.

python -m bench.ingest

The service runs in as many processes as there are processors. PostgreSQL, NATS, the clients and the
bare servers are each a process of their own.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import uvloop
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SOURCE, SourceDefined
from onefold.type.v1.source_trust_pb2 import SOURCE_TRUST_SERVER

from bench.append import Log, contender
from bench.caller import CHANNELS
from bench.echo import METHOD as ECHO
from bench.harness import Result, compare, interleave, print_results
from bench.ingest_http import BATCHES, WORKING, http_bench
from bench.ingest_http import SINGLE as SINGLE_EVENTS
from bench.worker import Worker, worker
from services.chassis.postgres.database import connect_pool
from services.chassis.postgres.migrate import migrate
from services.chassis.runtime.cpu import usable_processors
from services.client.client import ApiEndpoints, Client
from services.devstack.stack import PROCESSES, Stack
from services.ingest.log import EventLog
from tests.index_key import INDEX_KEY

ROUNDS = 5
SHARDS = 4
BATCHED, SINGLE = 40_000, 8_000
#: Enough callers to have the server always busy.
BATCH_CALLERS, SINGLE_CALLERS = 16, 64
INGEST = "/onefold.ingest.v1.IngestService/IngestEvents"


async def source_key(stack: Stack) -> str:
    """Define a source, and return a key of it."""
    endpoints = ApiEndpoints(grpc={"ingest": stack.address("ingest")}, key=stack.admin_key)
    async with Client(endpoints) as client:
        source = SourceDefined(source_id="bench", channel="web", trust=SOURCE_TRUST_SERVER)
        request = admin_pb.DefineSourceRequest(source=source)
        await client.admin.DefineSource(request)
        key = admin_pb.IssueKeyRequest(role=ROLE_SOURCE, source_id="bench", title="bench")
        return str((await client.admin.IssueKey(key)).key)


@asynccontextmanager
async def unrelayed_log(stack: Stack) -> AsyncIterator[Log]:
    """Open an event log in another database of the same server, which is not relayed."""
    admin = await asyncpg.connect(stack.postgres.admin_dsn)
    await admin.execute("CREATE DATABASE beside")
    await admin.close()
    dsn = stack.postgres.superuser_dsn.rpartition("/")[0] + "/beside"
    await migrate(dsn, "ingest")
    pool = await connect_pool(dsn, schema="ingest")
    async with EventLog(pool, shards=SHARDS, index_key=INDEX_KEY) as log:
        yield Log(log)
    await pool.close()


async def beside_append(log: Log, caller: Worker) -> Result:
    """Measure requests of 100 events beside appends of 100 facts."""

    async def by_grpc() -> float:
        how = {"events": BATCHED, "size": 100, "callers": BATCH_CALLERS}
        return float(await caller.run(server="ingest", method=INGEST, **how))

    figures = await interleave(ROUNDS, {"gRPC 100": by_grpc, "append 100": contender(log, 100)})
    return compare(
        "grpc_100_vs_append",
        figures["gRPC 100"],
        figures["append 100"],
        goal=0.70,
        unit="events/s",
        note=f"{BATCH_CALLERS} callers on {CHANNELS} connections, with relaying to NATS; "
        "reference: batches of 100 facts appended by one caller in this process, one commit each, "
        "to a log that is not relayed",
    )


async def beside_echo(caller: Worker) -> Result:
    """Measure requests of one event beside a server that only returns them."""
    how = {"events": SINGLE, "size": 1, "callers": SINGLE_CALLERS}

    async def by_grpc() -> float:
        return float(await caller.run(server="ingest", method=INGEST, **how))

    async def echoed() -> float:
        return float(await caller.run(server="echo", method=ECHO, **how))

    figures = await interleave(ROUNDS, {"gRPC 1": by_grpc, "echo": echoed})
    return compare(
        "grpc_1_vs_echo",
        figures["gRPC 1"],
        figures["echo"],
        goal=0.60,
        unit="events/s",
        note=f"{SINGLE_CALLERS} callers on {CHANNELS} connections; reference: a bare grpc.aio "
        "server in one process that returns the request, called by the same client",
    )


async def run(folder: Path) -> list[Result]:
    """Run all comparisons: those with ingest alone, then those beside all services."""
    processes = usable_processors()
    settings = {PROCESSES: str(processes)}
    results: list[Result] = []
    async with Stack(folder / "alone", settings=settings, only=("ingest",)) as stack:
        key = await source_key(stack)
        async with http_bench(stack, key, processes) as http:
            results += await http.compare(BATCHES)
            results += await http.compare(SINGLE_EVENTS)
        results += await by_grpc(stack, key)
    async with Stack(folder / "working", settings=settings) as stack:
        key = await source_key(stack)
        async with http_bench(stack, key, processes) as http:
            results += await http.compare(WORKING, with_cost=False)
    return results


async def by_grpc(stack: Stack, key: str) -> list[Result]:
    """Run the comparisons over gRPC."""
    async with (
        unrelayed_log(stack) as log,
        worker("bench.echo") as echo,
        worker("bench.caller") as caller,
    ):
        port = int(await echo.line())
        addresses = {"ingest": stack.address("ingest"), "echo": f"127.0.0.1:{port}"}
        await caller.run(addresses=addresses, key=key)
        return [await beside_append(log, caller), await beside_echo(caller)]


def main() -> None:
    """Print the report."""
    with tempfile.TemporaryDirectory(prefix="onefold-bench-") as folder:
        print_results(uvloop.run(run(Path(folder))))


if __name__ == "__main__":
    main()
