"""Reads the log from its tables: facts in pages of bounded size, heads, and kinds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import asyncpg

from services.chassis.messaging import lives
from services.chassis.postgres.database import Queries, acquire, transaction
from services.chassis.postgres.shares import WorkspaceShares
from services.ingest.domain.facts import FactRow
from services.kernel.errors import OnefoldError
from services.kernel.ids import LeafId, WorkspaceId
from services.kernel.tokens import Token

Q = Queries.load(__package__, "store.sql")

#: The most rows of a page, and the most bytes of their payloads.
PAGE_ROWS = 1_000
PAGE_BYTES = 1 << 20
#: A search for facts of some kinds scans this many offsets at a time.
SCAN_OFFSETS = 50_000
#: The most concurrent readers of whole timelines, half of them of one workspace; more wait for
#: their turn.
MAX_STREAMS = 2
FOREVER_US = 2**62


class FactKinds:
    """The kinds of facts: numbers by name, and names by number."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.names: dict[int, str] = {}

    async def ensure(self, conn: asyncpg.Connection, names: Iterable[str]) -> None:
        """Give a number to each of these that has none; not inside a transaction."""
        missing = sorted(set(names) - self.ids.keys())
        if missing:
            await conn.execute(Q.add_kinds, missing)
            await self.reload(conn)

    async def reload(self, conn: asyncpg.Connection) -> None:
        """Read all kinds; forget those that a database that went back does not have."""
        rows = await conn.fetch(Q.load_kinds)
        self.ids = {name: kind_id for kind_id, name in rows}
        self.names = dict(map(tuple, rows))


class LogHeads(NamedTuple):
    """The end of the log, and its clock."""

    token: Token
    #: The log's clock, Unix microseconds: a fact that is appended now is recorded then, or later.
    now_us: int
    #: When the shard that is idle for longest had its last fact, Unix microseconds.
    oldest_us: int


async def load_heads(conn: asyncpg.Connection, latest_us: int = FOREVER_US) -> LogHeads:
    """Return the end of the log, and its clock.

    `latest_us`: the latest instant that the clock of the server may show; see `LogClock`.
    """
    [row] = await conn.fetch(Q.load_heads, latest_us)
    return LogHeads(Token(tuple(row["nexts"] or ())), row["now_us"] or 0, row["oldest_us"] or 0)


@dataclass(frozen=True, slots=True)
class LeafFactsQuery:
    """Selects facts of some leaves of a workspace."""

    workspace_id: WorkspaceId
    #: (shard, leaf, end offset in the shard) of each leaf.
    leaves: Sequence[tuple[int, LeafId, int]]
    #: Only facts that occurred before this, Unix microseconds.
    before_us: int = FOREVER_US
    #: Only facts that were recorded at or before this, Unix microseconds.
    recorded_until_us: int = FOREVER_US
    #: Only facts that were recorded after this, Unix microseconds.
    recorded_after_us: int = 0
    #: None = all.
    limit: int | None = None


class LogReader:
    """Reads through the connections of a pool. All methods raise StoreUnavailable.

    `api_pool`: that of the api role, for what is read for a caller of one workspace.
    """

    def __init__(self, pool: asyncpg.Pool, kinds: FactKinds, api_pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._api_pool = api_pool
        self._kinds = kinds
        self._streams, self._shares = asyncio.Semaphore(MAX_STREAMS), WorkspaceShares(MAX_STREAMS)

    async def page(self, shard: int, first: int, end: int) -> list[FactRow]:
        """Return the first rows of [first, end): at least one, and at most PAGE_BYTES."""
        async with acquire(self._pool) as conn:
            rows = await self._rows(conn, await conn.fetch(Q.page, shard, first, end, PAGE_BYTES))
        if rows and rows[-1].offset - first + 1 != len(rows):
            raise OnefoldError(
                f"shard {shard} has a gap after offset {first}: restore the log from a backup"
            )
        return rows

    async def load_life(self, shard: int) -> int:
        """Return the newest life of a shard."""
        async with acquire(self._pool) as conn:
            return await lives.load_life(conn, shard)

    async def check_life(self, shard: int, first: int, life: int) -> int:
        """Return the newest life of a shard; see `services.chassis.messaging.lives.check_life`."""
        async with acquire(self._pool) as conn:
            return await lives.check_life(conn, shard, first, life)

    async def has_life(self, shard: int, end: int, life: int) -> bool:
        """Return whether a shard has everything before `end` as it was in a life of it."""
        async with acquire(self._pool) as conn:
            return await lives.has_life(conn, shard, end, life)

    async def read(self, shard: int, first: int, end: int) -> AsyncGenerator[list[FactRow]]:
        """Yield the rows of [first, end) in pages."""
        while first < end:
            rows = await self.page(shard, first, min(first + PAGE_ROWS, end))
            if not rows:
                return
            yield rows
            first = rows[-1].offset + 1

    async def read_kinds(
        self, shard: int, first: int, end: int, names: Iterable[str], workspace_id: str = ""
    ) -> AsyncGenerator[list[FactRow]]:
        """Yield the rows of some kinds in [first, end), in pages; an empty workspace means all."""
        async with acquire(self._pool) as conn:
            await self._kinds.reload(conn)
        kind_ids = [self._kinds.ids[name] for name in names if name in self._kinds.ids]
        while first < end:
            scan_end = min(first + SCAN_OFFSETS, end)
            async with acquire(self._pool) as conn:
                wanted = shard, first, scan_end, kind_ids, PAGE_ROWS, workspace_id
                rows = await self._rows(conn, await conn.fetch(Q.page_of_kinds, *wanted))
            if rows:
                yield rows
            first = rows[-1].offset + 1 if len(rows) == PAGE_ROWS else scan_end

    async def newest(
        self,
        workspace_id: WorkspaceId,
        kind: str,
        first: Sequence[int],
        end: Sequence[int],
        sources: Sequence[str],
        limit: int,
    ) -> list[FactRow]:
        """Return the newest facts of a kind in the ranges of all shards, so many of each."""
        async with acquire(self._api_pool, workspace_id) as conn:
            if kind not in self._kinds.ids:
                await self._kinds.reload(conn)
            kind_id = self._kinds.ids.get(kind)
            if kind_id is None:
                return []
            return await self._rows(
                conn,
                await conn.fetch(Q.newest_facts, workspace_id, kind_id, first, end, sources, limit),
            )

    async def leaf_facts(self, query: LeafFactsQuery) -> AsyncGenerator[list[FactRow]]:
        """Yield facts by occurrence, newest first; of the same instant, highest id first."""
        arguments = (
            query.workspace_id,
            [shard for shard, _, _ in query.leaves],
            [leaf_id for _, leaf_id, _ in query.leaves],
            [end for _, _, end in query.leaves],
            query.before_us,
            query.recorded_until_us,
            query.limit,
            query.recorded_after_us,
        )
        if query.limit is not None and query.limit <= PAGE_ROWS:
            async with acquire(self._api_pool, query.workspace_id) as conn:
                rows = await self._rows(conn, await conn.fetch(Q.leaf_facts, *arguments))
            yield rows
            return
        # Each stream holds a connection for as long as its caller reads.
        shares = self._shares.hold(query.workspace_id)
        async with shares, self._streams, transaction(self._api_pool, query.workspace_id) as conn:
            cursor = await conn.cursor(Q.leaf_facts, *arguments)
            while records := await cursor.fetch(PAGE_ROWS):
                yield await self._rows(conn, records)

    async def _rows(
        self, conn: asyncpg.Connection, records: Sequence[asyncpg.Record]
    ) -> list[FactRow]:
        rows = [FactRow._make(record) for record in records]
        if not {row.kind_id for row in rows} <= self._kinds.names.keys():
            await self._kinds.reload(conn)  # another replica has added a kind
        return rows
