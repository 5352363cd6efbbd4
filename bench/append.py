"""Measures the event log's append, beside COPY into a like table and beside other event stores.

python -m bench.append
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import msgspec
import uvloop

from bench.harness import Contender, Result, compare, interleave, print_progress, print_results
from bench.peers import EventSourcing, MessageDb, Peer, PeerEvent
from services.chassis.postgres.database import Database, connect
from services.chassis.postgres.migrate import migrate
from services.chassis.runtime import logs
from services.devstack.postgres import PostgresServer
from services.ingest.domain.facts import FactRow
from services.ingest.log import EventLog, NewFact
from services.ingest.log.copy_format import COLUMNS
from services.kernel.ids import FactId, LeafId, hash_id, shard_of
from tests.index_key import INDEX_KEY

ROUNDS = 5
SHARDS = 4
PEOPLE = 20_000
#: Batches per round by their size.
BATCHES_A_ROUND = {1000: 20, 100: 100}
KIND = "onefold.type.v1.Event"
PAYLOAD_BYTES = 483


def payload() -> bytes:
    """Return a track event as JSON of PAYLOAD_BYTES."""
    page: dict[str, str] = {"path": ""}
    event = {
        "type": "track",
        "event": "Course Viewed",
        "messageId": os.urandom(16).hex(),
        "userId": os.urandom(8).hex(),
        "properties": {"course": "math-7", "price": 399, "paid": True, "teacher": "li"},
        "context": {"library": {"name": "analytics", "version": "1"}, "page": page},
    }
    page["path"] = "p" * (PAYLOAD_BYTES - len(msgspec.json.encode(event)))
    return msgspec.json.encode(event)


PAYLOAD = payload()
TAG = INDEX_KEY.content_tag("demo", PAYLOAD)


def facts(size: int) -> list[NewFact]:
    """Return new facts of random profiles."""
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
            TAG,
        )
        for _ in range(size)
    ]


class Log:
    """The event log: one caller, one commit per batch."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def batch(self, size: int) -> list[NewFact]:
        return facts(size)

    async def append_all(self, batches: Sequence[list[NewFact]]) -> None:
        for batch in batches:
            await self._log.append(batch)


class Copy:
    """COPY into a copy of the log's table: the best that PostgreSQL can do."""

    def __init__(
        self, conn: asyncpg.Connection, table: str = "fact_copied", *, tags: bool = True
    ) -> None:
        self._conn = conn
        self._table = table
        self._columns = COLUMNS if tags else COLUMNS[:-1]
        self._next: Counter[int] = Counter()

    @classmethod
    async def beside(cls, conn: asyncpg.Connection) -> Copy:
        await conn.execute("CREATE TABLE fact_copied (LIKE fact INCLUDING ALL)")
        return cls(conn)

    def batch(self, size: int) -> list[NewFact]:
        return facts(size)

    async def append_all(self, batches: Sequence[list[NewFact]]) -> None:
        for batch in batches:
            rows = [self._row(fact)[: len(self._columns)] for fact in batch]
            await self._conn.copy_records_to_table(self._table, records=rows, columns=self._columns)

    def _row(self, fact: NewFact) -> FactRow:
        shard = shard_of(fact.leaf_id or b"", SHARDS)
        offset = self._next[shard]
        self._next[shard] += 1
        when = fact.occurred_at_us
        head = (offset, when, when, shard, 1, fact.fact_id, fact.leaf_id)
        texts = (fact.workspace_id, fact.source_id, fact.actor)
        return FactRow(*head, *texts, fact.payload, fact.content_tag)


_VERSIONS = count(1)


def peer_batch(size: int) -> list[PeerEvent]:
    """Return new events in the form that a peer takes."""
    return [
        PeerEvent(fact.fact_id, fact.leaf_id or b"", next(_VERSIONS), fact.payload)
        for fact in facts(size)
    ]


def contender(store: Any, size: int) -> Contender:
    """Return a contender: events per second in batches of `size`, one commit each."""
    make = getattr(store, "batch", peer_batch)

    async def run() -> float:
        batches = [make(size) for _ in range(BATCHES_A_ROUND[size])]
        began = time.perf_counter()
        await store.append_all(batches)
        return len(batches) * size / (time.perf_counter() - began)

    return run


async def beside_copy(log: Log, copy: Copy) -> Result:
    """Measure batches of 1,000."""
    ours, theirs = "append 1000", "COPY 1000"
    figures = await interleave(ROUNDS, {ours: contender(log, 1000), theirs: contender(copy, 1000)})
    return compare(
        "append_1000_vs_copy",
        figures[ours],
        figures[theirs],
        goal=0.60,
        unit="events/s",
        note="reference: COPY in batches of 1000, one commit each, into a table with the same "
        "columns, checks and indexes; its offsets are computed before, and nothing is "
        "locked, compared or cached",
    )


async def beside_peers(log: Log, peers: dict[str, Peer]) -> Result:
    """Measure batches of 100."""
    contenders = {"append 100": contender(log, 100)}
    contenders |= {name: contender(peer, 100) for name, peer in peers.items()}
    figures = await interleave(ROUNDS, contenders)
    ours = figures.pop("append 100")
    best = max(figures, key=lambda name: median(figures[name]))
    note = f"reference: {best}, the best of {', '.join(figures)}"
    if not any(isinstance(peer, MessageDb) for peer in peers.values()):
        note += "; message-db was not measured, as npm could not fetch it"
    return compare("append_100_vs_peers", ours, figures[best], goal=1.5, unit="events/s", note=note)


async def install_peers(dsn: str, scope: AsyncExitStack) -> dict[str, Peer]:
    """Install the available peers into the same database."""
    peers: dict[str, Peer] = {
        "eventsourcing": EventSourcing(dsn, functions=False),
        "eventsourcing by function": EventSourcing(dsn, functions=True),
    }
    message_db = await MessageDb.install(dsn)
    if message_db:
        peers["message-db"] = message_db
    for peer in peers.values():
        await scope.enter_async_context(aclosing(peer))
    return peers


async def run(folder: Path) -> list[Result]:
    """Run both comparisons on a private PostgreSQL with all its guarantees on."""
    async with AsyncExitStack() as scope:
        server = await scope.enter_async_context(PostgresServer(folder))
        await migrate(server.superuser_dsn, "ingest")
        database = await scope.enter_async_context(Database(server.superuser_dsn, "ingest"))
        event_log = await scope.enter_async_context(
            EventLog(database.pool, shards=SHARDS, index_key=INDEX_KEY)
        )
        conn = await connect(server.superuser_dsn, schema="ingest")
        scope.push_async_callback(conn.close)
        log, copy = Log(event_log), await Copy.beside(conn)
        print_progress(f"payload {len(PAYLOAD)} bytes, {SHARDS} shards, {PEOPLE} people")
        first = await beside_copy(log, copy)
        return [first, await beside_peers(log, await install_peers(server.superuser_dsn, scope))]


def main() -> None:
    """Print the report."""
    logs.configure("bench", "warning")
    with tempfile.TemporaryDirectory(prefix="onefold-bench-") as folder:
        print_results(uvloop.run(run(Path(folder))))


if __name__ == "__main__":
    main()
