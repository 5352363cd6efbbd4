"""Fixtures: the event log on its own database, without the endpoints."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest_asyncio

from services.chassis.postgres.database import Database
from services.chassis.postgres.migrate import migrate
from services.ingest.log import EventLog, NewFact
from services.kernel.ids import FactId, LeafId, hash_id
from tests.index_key import INDEX_KEY

SHARDS = 4
KIND = "onefold.type.v1.Event"


def make_fact(name: str | int | None = None, **changes: Any) -> NewFact:
    """Return a fact whose id and leaf are functions of its name; without a name they are new."""
    seed = os.urandom(16).hex() if name is None else str(name)
    fact = NewFact(
        "shop",
        FactId(hash_id("fact", seed)),
        KIND,
        LeafId(hash_id("leaf", seed)),
        1_700_000_000_000_000,
        "web",
        "key_1",
        f"payload of {seed}".encode(),
        bytes(16),
    )
    fact = fact._replace(**changes)
    return fact._replace(content_tag=INDEX_KEY.content_tag(fact.workspace_id, fact.payload))


def make_facts(names: Sequence[str | int]) -> list[NewFact]:
    """Return facts by these names."""
    return [make_fact(name) for name in names]


@dataclass
class Logs:
    """Replicas of the log on one database."""

    dsn: str
    database: Database
    scope: AsyncExitStack = field(repr=False)

    async def replica(self, **settings: Any) -> EventLog:
        """Open one more replica, with its own pool, until the test ends."""
        database = await self.scope.enter_async_context(Database(self.dsn, "ingest", max_size=4))
        log = EventLog(database.pool, **{"shards": SHARDS, "index_key": INDEX_KEY, **settings})
        return await self.scope.enter_async_context(log)

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Return the rows of a query."""
        return await self.database.pool.fetch(query, *arguments)

    async def check_shards(self) -> dict[int, int]:
        """Return the ends of the shards; fail where one has a gap, or time decreases in it."""
        rows = await self.fetch(
            "SELECT h.shard, h.next, h.recorded_at, count(f.*) AS facts, min(f.offset) AS first,"
            " max(f.offset) AS last, max(f.recorded_at) AS newest"
            " FROM head AS h LEFT JOIN fact AS f USING (shard) GROUP BY h.shard"
        )
        for row in rows:
            assert row["facts"] == row["next"]
            assert row["facts"] == 0 or (row["first"], row["last"]) == (0, row["next"] - 1)
            assert row["facts"] == 0 or row["newest"] == row["recorded_at"]
        backwards = await self.fetch(
            "SELECT 1 FROM (SELECT recorded_at, occurred_at, lag(recorded_at) OVER"
            " (PARTITION BY shard ORDER BY fact.offset) AS before FROM fact) AS f"
            " WHERE recorded_at < before OR occurred_at > recorded_at"
        )
        assert not backwards
        return {row["shard"]: row["next"] for row in rows}

    async def fact_ids(self) -> list[bytes]:
        """Return the sorted ids of all facts with a leaf."""
        rows = await self.fetch("SELECT fact_id FROM fact WHERE leaf_id IS NOT NULL ORDER BY 1")
        return [row["fact_id"] for row in rows]


@pytest_asyncio.fixture(loop_scope="session")
async def logs(database: str) -> AsyncIterator[Logs]:
    """A migrated, empty database, and no replica yet."""
    await migrate(database, "ingest")
    async with AsyncExitStack() as scope:
        yield Logs(database, await scope.enter_async_context(Database(database, "ingest")), scope)


@pytest_asyncio.fixture(loop_scope="session")
async def event_log(logs: Logs) -> EventLog:
    """The first replica."""
    return await logs.replica()
