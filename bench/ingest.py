"""The gRPC door of ingest, beside the log's own append and beside a bare gRPC server.

python -m bench.ingest

The service, PostgreSQL, NATS, the client and the bare server are each a process of their own.
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

from bench.append import Log, contender
from bench.echo import METHOD as ECHO
from bench.harness import Result, compare, interleave, print_results
from bench.worker import Worker, worker
from services.chassis.postgres.database import connect_pool
from services.chassis.postgres.migrate import migrate
from services.cli.client import Client
from services.cli.endpoints import Doors
from services.devstack.stack import Stack
from services.ingest.log import EventLog

ROUNDS = 5
SHARDS = 4
BATCHED, SINGLE = 40_000, 8_000
#: As many as keep the server busy while they wait.
BATCH_CALLERS, SINGLE_CALLERS = 16, 64
INGEST = "/onefold.ingest.v1.IngestService/IngestEvents"


async def source_key(stack: Stack) -> str:
    """The key of a new source."""
    doors = Doors({"ingest": stack.address("ingest")}, {}, stack.admin_key)
    async with Client(doors) as client:
        source = SourceDefined(source_id="bench", channel="web")
        request = admin_pb.DefineSourceRequest(source=source)
        await client.call(client.admin.DefineSource, request)
        key = admin_pb.IssueKeyRequest(role=ROLE_SOURCE, source_id="bench", title="bench")
        return str((await client.call(client.admin.IssueKey, key)).key)


@asynccontextmanager
async def log_of_its_own(stack: Stack) -> AsyncIterator[Log]:
    """An event log in another database of the same server, so that nobody relays it."""
    admin = await asyncpg.connect(stack.postgres.admin_dsn)
    await admin.execute("CREATE DATABASE beside OWNER onefold")
    await admin.close()
    dsn = stack.postgres.dsn.rpartition("/")[0] + "/beside"
    await migrate(dsn, "ingest")
    pool = await connect_pool(dsn, schema="ingest")
    async with EventLog(pool, shards=SHARDS) as log:
        yield Log(log)
    await pool.close()


async def beside_append(log: Log, caller: Worker) -> Result:
    """Requests of 100 events beside appends of 100 facts."""

    async def by_grpc() -> float:
        how = {"events": BATCHED, "size": 100, "callers": BATCH_CALLERS}
        return float(await caller.ask(where="ingest", method=INGEST, **how))

    figures = await interleave(ROUNDS, {"gRPC 100": by_grpc, "append 100": contender(log, 100)})
    return compare(
        "grpc_100_vs_append",
        figures["gRPC 100"],
        figures["append 100"],
        goal=0.70,
        unit="events/s",
        note=f"{BATCH_CALLERS} callers, with relaying to NATS; reference: batches of 100 facts "
        "appended by one caller in this process, one commit each, to a log that is not relayed",
    )


async def beside_echo(caller: Worker) -> Result:
    """Requests of one event beside a server that does nothing with them."""
    how = {"events": SINGLE, "size": 1, "callers": SINGLE_CALLERS}

    async def by_grpc() -> float:
        return float(await caller.ask(where="ingest", method=INGEST, **how))

    async def echoed() -> float:
        return float(await caller.ask(where="echo", method=ECHO, **how))

    figures = await interleave(ROUNDS, {"gRPC 1": by_grpc, "echo": echoed})
    return compare(
        "grpc_1_vs_echo",
        figures["gRPC 1"],
        figures["echo"],
        goal=0.50,
        unit="events/s",
        note=f"{SINGLE_CALLERS} callers; reference: a bare grpc.aio server that answers with the "
        "request, called by the same client",
    )


async def run(folder: Path) -> list[Result]:
    """Both comparisons against one running service."""
    async with (
        Stack(folder, only=("ingest",)) as stack,
        log_of_its_own(stack) as log,
        worker("bench.echo") as echo,
        worker("bench.caller") as caller,
    ):
        port = int(await echo.line())
        addresses = {"ingest": stack.address("ingest"), "echo": f"127.0.0.1:{port}"}
        await caller.ask(addresses=addresses, key=await source_key(stack))
        return [await beside_append(log, caller), await beside_echo(caller)]


def main() -> None:
    """Prints the report."""
    with tempfile.TemporaryDirectory(prefix="onefold-bench-") as folder:
        print_results(uvloop.run(run(Path(folder))))


if __name__ == "__main__":
    main()
