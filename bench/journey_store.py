"""Measures how fast runs that are due come to the ledger, over activation's store alone.

The fold, the player and the publisher are those of the service; the log accepts every fact.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
from onefold.activation.v1 import journey_facts_pb2 as facts_pb
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1.profile_stream_pb2 import MatchedEvent
from onefold.segment.v1.segment_stream_pb2 import MembershipsChanged

from bench import cpu, due_peers
from bench.harness import Result, compare, interleave, print_progress
from services.activation.projection.fold import ActivationProjection
from services.activation.projection.journeys.engine import JourneyEngine
from services.chassis.codec.journey_facts import JOURNEY_DEFINED
from services.chassis.codec.journeys import journey_to_proto
from services.chassis.messaging.stream import Batch, StreamMessage
from services.chassis.postgres.database import Database, transaction
from services.chassis.postgres.migrate import migrate
from services.chassis.runtime.repeat import wait_at_most
from services.devstack.postgres import PostgresServer
from services.kernel.ids import hash_id, shard_of
from services.kernel.journeys.inputs import awaited_events
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.rules.ids import structure_id
from services.kernel.time import DAY_US, HOUR_US

PARTS = ("due", "peers", "parked")
ROUNDS, SHARDS = 5, 4
DUES, PARKED = 5_000, 1_000_000
#: Runs of one transaction of plain SQL, and events of one message.
PORTION = 500
#: Seconds of an idle system.
IDLE_S = 10.0
GOAL_SQL, GOAL_PARKED, GOAL_IDLE, GOAL_PEERS = 0.35, 0.75, 1.05, 20.0
#: Jobs of the peers, which take milliseconds each.
PEER_JOBS = 300
WORKSPACE = "bench"
BEGIN_US = 1_772_409_600_000_000
JOURNEY = parse_journey(
    {
        "id": "cart",
        "enter": {"event": "cart_updated", "again": "always"},
        "goal": [{"event": "order_paid"}],
        "steps": [{"wait": "2h"}, {"send": {"id": "reminder", "to": "mail", "template": "t"}}],
    }
)
_PLAIN = """
CREATE TABLE plain_due (leaf_id bytea PRIMARY KEY, due_us bigint NOT NULL);
CREATE INDEX ON plain_due (due_us);
CREATE TABLE plain_run (run_id bytea PRIMARY KEY, leaf_id bytea NOT NULL, number int NOT NULL,
                        state smallint NOT NULL, transitions bytea NOT NULL);
CREATE TABLE plain_effect (effect_id bytea PRIMARY KEY, run_id bytea NOT NULL,
                           at_us bigint NOT NULL, state smallint NOT NULL, payload bytea NOT NULL);
"""


class AcceptingLog:
    """A log that has every fact as soon as it is appended."""

    async def append(self, facts: list[Fact], known_us: int = 0) -> None:
        """Accept facts."""

    async def tick(self) -> None:
        """Have the time."""


class NamedRunner:
    """The part of a runner that the engine needs."""

    service = "activation"


class JourneyStore:
    """Activation's store with one journey, and a clock of the benchmark."""

    def __init__(self, database: Database) -> None:
        self.pool = database.pool
        fakes: Any = NamedRunner(), AcceptingLog()
        self._projection = ActivationProjection(
            SHARDS, lambda _: None, on_defined=lambda: None, on_access=lambda: None
        )
        self.engine = JourneyEngine(database, *fakes, fakes[0], SHARDS, lambda _: None)
        self.now_us = BEGIN_US
        self._numbers = count()

    async def define(self) -> None:
        """Define the journey."""
        message = facts_pb.JourneyDefined(journey=journey_to_proto(JOURNEY.at_version(1)))
        fact = Fact(
            workspace_id=WORKSPACE,
            kind=JOURNEY_DEFINED,
            payload=message.SerializeToString(),
            recorded_at_us=self.now_us,
            fact_id=hash_id("bench", "journey"),
        )
        for shard in range(SHARDS):
            await self._fold(shard, MembershipsChanged(broadcast_facts=[fact]))

    async def begin_runs(self, number: int) -> None:
        """Begin runs of new people, and look at them for the first time."""
        await self.pass_time(HOUR_US)
        for _ in range(0, number, PORTION):
            leaves = [hash_id("bench", str(next(self._numbers))) for _ in range(PORTION)]
            for shard in range(SHARDS):
                own = [leaf for leaf in leaves if shard_of(leaf, SHARDS) == shard]
                events = [self._event(leaf) for leaf in own]
                await self._fold(shard, MembershipsChanged(matched_events=events))
        await self.pass_time(1)
        await self.work()

    async def pass_time(self, us: int) -> None:
        """Let time pass on every shard."""
        self.now_us += us
        for shard in range(SHARDS):
            await self._fold(shard, MembershipsChanged())

    async def work(self) -> None:
        """Look at all that is due, and publish what follows, beside each other as the service."""
        looking = asyncio.create_task(self._look())
        while await self.engine.publisher.publish_once() or not looking.done():
            await wait_at_most(self.engine.player.transitions, 0.0 if looking.done() else 0.05)
            self.engine.player.transitions.clear()
        await looking

    async def _look(self) -> None:
        while await self.engine.player.look():
            pass
        self.engine.player.transitions.set()

    def _event(self, leaf: bytes) -> MatchedEvent:
        [entry, _] = awaited_events(JOURNEY)
        return MatchedEvent(
            workspace_id=WORKSPACE,
            profile_id=leaf,
            leaf_id=leaf,
            fact_id=hash_id("event", leaf),
            filter_ids=[structure_id(entry)],
            occurred_at_us=self.now_us,
            recorded_at_us=self.now_us,
            properties=b"{}",
        )

    async def _fold(self, shard: int, message: MembershipsChanged) -> None:
        message.log_time_us = self.now_us
        wrapped = StreamMessage(0, 1, message.SerializeToString())
        async with transaction(self.pool) as conn:
            batch = Batch(shard, 0, 1, (wrapped,), 0, 0, 0)
            result = await self._projection.fold(conn, batch)
            await conn.execute(
                "UPDATE checkpoint SET log_time_us = greatest(log_time_us, $2) WHERE shard = $1",
                shard,
                result.log_time_us,
            )


class PlainSql:
    """The same writes, by statements alone."""

    def __init__(self, conn: asyncpg.Connection) -> None:
        self._conn = conn
        self._numbers = count()

    async def begin_runs(self, number: int) -> None:
        """Add runs that are due."""
        leaves = [hash_id("plain", str(next(self._numbers))) for _ in range(number)]
        await self._conn.execute("INSERT INTO plain_due SELECT unnest($1::bytea[]), 1", leaves)
        await self._conn.execute(
            "INSERT INTO plain_run SELECT l, l, 1, 1, $2 FROM unnest($1::bytea[]) AS l",
            *(leaves, bytes(100)),
        )

    async def work(self) -> None:
        """Take what is due in portions."""
        while True:
            async with self._conn.transaction():
                rows = await self._conn.fetch(
                    "SELECT leaf_id FROM plain_due WHERE due_us <= 2 ORDER BY due_us LIMIT $1"
                    " FOR UPDATE SKIP LOCKED",
                    PORTION,
                )
                leaves = [row[0] for row in rows]
                if not leaves:
                    return
                await self._conn.execute(
                    "UPDATE plain_run SET number = 3, state = 3, transitions = transitions || $2"
                    " WHERE run_id = ANY ($1::bytea[])",
                    *(leaves, bytes(200)),
                )
                await self._conn.execute(
                    "INSERT INTO plain_effect SELECT l, l, 1, 7, $2 FROM unnest($1::bytea[]) AS l",
                    *(leaves, bytes(100)),
                )
                await self._conn.execute(
                    "DELETE FROM plain_due WHERE leaf_id = ANY ($1::bytea[])", leaves
                )
            # What is planned may be sent once the log has it: a transaction of its own.
            await self._conn.execute(
                "UPDATE plain_effect SET state = 1 WHERE effect_id = ANY ($1::bytea[])", leaves
            )


@dataclass
class Meter:
    """Measures the processor time of work in this process and in the database."""

    server: PostgresServer
    #: Seconds of this process and of the database for each due, by round.
    costs: list[tuple[float, float]] = field(default_factory=list)

    async def rate(self, work: Callable[[], Awaitable[None]], dues: int) -> float:
        """Do the work of some dues; return the dues a second."""
        began, own = time.monotonic(), time.process_time()
        database = cpu.family_seconds(self.server.pid)
        await work()
        seconds = time.monotonic() - began
        used = time.process_time() - own, cpu.family_seconds(self.server.pid) - database
        self.costs.append((used[0] / dues, used[1] / dues))
        return dues / seconds

    @property
    def rates(self) -> list[float]:
        """The dues in a second of processor time, by round, without the first."""
        return [1 / sum(cost) for cost in self.costs[1:]]

    @property
    def note(self) -> str:
        """The medians of the costs."""
        own, database = (median(part) * 1e6 for part in zip(*self.costs[1:], strict=True))
        return f"{own:.0f} us of the process and {database:.0f} us of the database for each"


async def _due_rate(store: JourneyStore, dues: int, meter: Meter) -> float:
    """Return the dues a second."""
    await store.begin_runs(dues)
    await store.pass_time(2 * HOUR_US)
    return await meter.rate(store.work, dues)


async def due(
    store: JourneyStore, server: PostgresServer, conn: asyncpg.Connection, dues: int, *, peers: bool
) -> list[Result]:
    """Measure runs that come due, beside plain SQL, and beside other systems."""
    plain, ours, theirs = PlainSql(conn), Meter(server), Meter(server)

    async def sql() -> float:
        await plain.begin_runs(dues)
        return await theirs.rate(plain.work, dues)

    contenders = {"ours": lambda: _due_rate(store, dues, ours), "sql": sql}
    figures = await interleave(ROUNDS, contenders)
    note = f"{ours.note}; plain SQL: {theirs.note}; no log is written"
    found = [
        compare(name, *pair, goal=GOAL_SQL, unit=unit, note=note)
        for name, pair, unit in (
            ("due_vs_sql", (figures["ours"], figures["sql"]), "dues/s"),
            ("due_vs_sql_cpu", (ours.rates, theirs.rates), "dues/cpu s"),
        )
    ]
    if peers:
        cost = median(own for own, _ in ours.costs[1:])
        found += [await beside_peer(name, server, conn, cost) for name in due_peers.PEERS]
    return found


async def beside_peer(
    name: str, server: PostgresServer, conn: asyncpg.Connection, ours_s: float
) -> Result:
    """Measure the processor time of jobs of another system; `ours_s`: of a due, seconds."""
    await conn.execute(f"CREATE DATABASE peer_{name}")
    dsn = server.superuser_dsn.rpartition("/")[0] + f"/peer_{name}"
    before = cpu.family_seconds(server.pid)
    arguments = *("-m", "bench.due_peers", name, dsn), str(PEER_JOBS)
    process = await asyncio.create_subprocess_exec(
        *(os.environ.get("ONEFOLD_BENCH_PYTHON", sys.executable), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await process.communicate()
    lines = out.decode().splitlines()
    seconds = json.loads(lines[-1])["seconds"] if lines else None
    result = f"due_cpu_vs_{name}", "us", round(ours_s * 1e6, 1)
    if seconds is None:
        note = f"{name} is not installed: name a Python that has it by ONEFOLD_BENCH_PYTHON"
        return Result(*result, 0.0, 0.0, 0.0, 0, GOAL_PEERS, holds=False, note=note)
    database = cpu.family_seconds(server.pid) - before
    theirs = seconds / PEER_JOBS * 1e6
    note = (
        "less is better; processor time of the process alone; its database has used"
        f" {database / PEER_JOBS * 1e6:,.0f} us more for each job, with its begin"
    )
    ratio = theirs / (ours_s * 1e6)
    return Result(
        *(*result, round(theirs, 1), round(ratio, 2), 0.0, 1, GOAL_PEERS),
        holds=ratio >= GOAL_PEERS,
        note=note,
    )


async def parked(
    store: JourneyStore, server: PostgresServer, dues: int, number: int
) -> list[Result]:
    """Measure what runs cost that wait for a far instant."""
    alone = [await _due_rate(store, dues, Meter(server)) for _ in range(ROUNDS)]
    idle = await _idle(store, server)
    await store.begin_runs(PORTION)
    await store.pool.execute(PARK, number, BEGIN_US + 3_650 * DAY_US)
    await store.pool.execute("ANALYZE")
    beside = [await _due_rate(store, dues, Meter(server)) for _ in range(ROUNDS)]
    idle_beside = await _idle(store, server)
    note = f"{number:,} runs are parked; the reference is without them"
    ratio = idle_beside / idle
    return [
        compare("due_parked", beside, alone, goal=GOAL_PARKED, unit="dues/s", note=note),
        Result(
            *("idle_parked", "cpu s", round(idle_beside, 2), round(idle, 2), round(ratio, 3)),
            *(0.0, 1, GOAL_IDLE, ratio <= GOAL_IDLE, f"less is better; {IDLE_S:.0f} s; {note}"),
        ),
    ]


#: Copies a run that waits, with its fact and its due, many times.
PARK = """
WITH one AS (SELECT * FROM run WHERE state = 1 LIMIT 1),
     n AS (SELECT decode(md5('parked ' || g), 'hex') AS id FROM generate_series(1, $1::int) AS g),
     parked AS (
         INSERT INTO run (workspace_id, run_id, journey_id, version, leaf_id, begun_at_us, number,
                          transitions, state, end_reason, step_id, due_us, closed,
                          entry_fact_id)
         SELECT one.workspace_id, n.id, one.journey_id, one.version, n.id, one.begun_at_us,
                one.number, one.transitions, 1, 0, one.step_id, $2::bigint, false, n.id
         FROM one CROSS JOIN n RETURNING 1
     )
INSERT INTO journey_due (workspace_id, journey_id, leaf_id, due_us)
SELECT one.workspace_id, one.journey_id, n.id, $2::bigint FROM one CROSS JOIN n
"""


async def _idle(store: JourneyStore, server: PostgresServer) -> float:
    """Return the seconds of processor time of a while in which nothing is due."""
    before = cpu.family_seconds(server.pid)
    used = time.process_time()
    with suppress(TimeoutError):
        await asyncio.wait_for(store.engine.player.run(), IDLE_S)
    return time.process_time() - used + cpu.family_seconds(server.pid) - before


async def measure(folder: Path, parts: Collection[str], dues: int, number: int) -> list[Result]:
    """Measure some of PARTS."""
    results: list[Result] = []
    async with AsyncExitStack() as scope:
        server = await scope.enter_async_context(PostgresServer(folder))
        await migrate(server.superuser_dsn, "activation", shards=SHARDS)
        database = Database(server.superuser_dsn, "activation", max_size=8)
        await scope.enter_async_context(database)
        conn = await asyncpg.connect(server.superuser_dsn)
        scope.push_async_callback(conn.close)
        await conn.execute(_PLAIN)
        store = JourneyStore(database)
        await store.define()
        if {"due", "peers"} & set(parts):
            results += await due(store, server, conn, dues, peers="peers" in parts)
        if "parked" in parts:
            results += await parked(store, server, dues, number)
    for result in results:
        print_progress(f"{result.name}: {result.figure:,.1f} {result.unit}; {result.note}")
    return results
