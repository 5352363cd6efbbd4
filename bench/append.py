"""The event log's append, beside COPY into the same table and beside two other event stores.

python -m bench.append
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import asyncpg
import msgspec
import uvloop

from bench.harness import Result, compare, interleave, print_results, say
from bench.peers import EventSourcing, MessageDb, PeerEvent
from services.chassis import logs
from services.chassis.database import connect, connect_pool
from services.chassis.embedded.postgres import PostgresServer
from services.chassis.migrate import migrate
from services.ingest.domain.facts import Row
from services.ingest.log import EventLog, NewFact
from services.ingest.log.store import COLUMNS
from services.kernel.ids import FactId, LeafId, hash_id, shard_of

ROUNDS = 5
SHARDS = 4
PEOPLE = 20_000
EVENTS_A_ROUND = 20_000
KIND = "onefold.type.v1.Event"


def payload() -> bytes:
    """A track event as JSON, 483 bytes."""
    event = {
        "type": "track",
        "event": "Course Viewed",
        "messageId": os.urandom(16).hex(),
        "userId": os.urandom(8).hex(),
        "properties": {"course": "math-7", "price": 399, "paid": True, "teacher": "li"},
        "context": {"library": {"name": "analytics", "version": "1"}, "page": ""},
    }
    event["context"]["page"] = "p" * (483 - len(msgspec.json.encode(event)))
    return msgspec.json.encode(event)


PAYLOAD = payload()


def facts(size: int) -> list[NewFact]:
    """New facts of people at random."""
    now = time.time_ns() // 1000
    return [
        NewFact(
            "demo",
            FactId(os.urandom(16)),
            KIND,
            LeafId(hash_id(str(random.randrange(PEOPLE)))),
            now,
            "web",
            "key_0123456789ab",
            PAYLOAD,
        )
        for _ in range(size)
    ]


class Copy:
    """COPY into a table that is the log's in all but its name: what PostgreSQL can do at best."""

    def __init__(self, conn: asyncpg.Connection) -> None:
        self._conn = conn
        self._next: Counter[int] = Counter()

    async def append(self, batch: Sequence[NewFact]) -> None:
        rows = [self._row(fact) for fact in batch]
        await self._conn.copy_records_to_table("fact_copied", records=rows, columns=COLUMNS)

    def _row(self, fact: NewFact) -> Row:
        shard = shard_of(fact.leaf_id or b"", SHARDS)
        offset = self._next[shard]
        self._next[shard] += 1
        when = fact.occurred_at_us
        head = (offset, when, when, shard, 1, fact.fact_id, fact.leaf_id)
        return Row(*head, fact.workspace_id, fact.source_id, fact.actor, fact.payload)


def rate(batches: Sequence[Sequence[object]], began: float) -> float:
    """Events a second since `began`."""
    return sum(map(len, batches)) / (time.perf_counter() - began)


async def beside_copy(log: EventLog, copy: Copy) -> Result:
    """Batches of 1,000, one commit each, one caller."""

    async def ours() -> float:
        batches = [facts(1000) for _ in range(EVENTS_A_ROUND // 1000)]
        began = time.perf_counter()
        for batch in batches:
            await log.append(batch)
        return rate(batches, began)

    async def copied() -> float:
        batches = [facts(1000) for _ in range(EVENTS_A_ROUND // 1000)]
        began = time.perf_counter()
        for batch in batches:
            await copy.append(batch)
        return rate(batches, began)

    figures = await interleave(ROUNDS, {"append 1000": ours, "COPY 1000": copied})
    return compare(
        "append_1000_vs_copy",
        figures["append 1000"],
        figures["COPY 1000"],
        goal=0.60,
        unit="events/s",
        note="reference: COPY in batches of 1000, one commit each, into a table with the same "
        "columns, checks and indexes, offsets given beforehand",
    )


async def beside_peers(log: EventLog, peers: dict[str, object], note: str) -> Result:
    """Batches of 100, one commit each, one caller."""
    versions = count(1)

    def peer_batches() -> list[list[PeerEvent]]:
        return [
            [PeerEvent(f.fact_id, f.leaf_id or b"", next(versions), f.payload) for f in facts(100)]
            for _ in range(EVENTS_A_ROUND // 2 // 100)
        ]

    async def ours() -> float:
        batches = [facts(100) for _ in range(EVENTS_A_ROUND // 2 // 100)]
        began = time.perf_counter()
        for batch in batches:
            await log.append(batch)
        return rate(batches, began)

    def contender(peer: object) -> object:
        async def run() -> float:
            batches = peer_batches()
            began = time.perf_counter()
            if isinstance(peer, EventSourcing):
                await asyncio.to_thread(peer.append_all, batches)
            elif isinstance(peer, MessageDb):
                await peer.append_all(batches)
            return rate(batches, began)

        return run

    contenders = {"append 100": ours} | {name: contender(peer) for name, peer in peers.items()}
    figures = await interleave(ROUNDS, contenders)
    best = max(peers, key=lambda name: sorted(figures[name])[ROUNDS // 2], default="")
    return compare(
        "append_100_vs_peers",
        figures["append 100"],
        figures.get(best, []),
        goal=1.5,
        unit="events/s",
        note=f"reference: {best}; {note}" if best else note,
    )


async def run(folder: Path) -> list[Result]:
    """Both comparisons on a PostgreSQL of their own, with all its guarantees on."""
    async with PostgresServer(folder) as server:
        await migrate(server.dsn, "ingest")
        pool = await connect_pool(server.dsn, schema="ingest")
        conn = await connect(server.dsn, schema="ingest")
        await conn.execute("CREATE TABLE fact_copied (LIKE fact INCLUDING ALL)")
        peers: dict[str, object] = {
            "eventsourcing": EventSourcing(server.dsn, functions=False),
            "eventsourcing by function": EventSourcing(server.dsn, functions=True),
        }
        message_db = await MessageDb.install(server.dsn)
        if message_db:
            peers["message-db"] = message_db
        note = "" if message_db else "message-db was not measured: npm could not fetch it"
        async with EventLog(pool, shards=SHARDS) as log:
            say(f"payload {len(PAYLOAD)} bytes, {SHARDS} shards, {PEOPLE} people")
            results = [
                await beside_copy(log, Copy(conn)),
                await beside_peers(log, peers, note),
            ]
        for peer in peers.values():
            closed = peer.close()
            if asyncio.iscoroutine(closed):
                await closed
        await conn.close()
        await pool.close()
        return results


def main() -> None:
    """Prints the report."""
    logs.configure("bench", "warning")
    with tempfile.TemporaryDirectory(prefix="onefold-bench-") as folder:
        print_results(uvloop.run(run(Path(folder))))


if __name__ == "__main__":
    main()
