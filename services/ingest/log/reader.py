"""Reading the log from its table, in pages of bounded size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass

import asyncpg

from services.chassis.postgres.database import acquire, transaction
from services.ingest.domain.facts import Row
from services.ingest.log.store import Heads, Kinds, Q, heads
from services.kernel.errors import OnefoldError
from services.kernel.ids import LeafId, WorkspaceId

#: So many rows are read at a time, and so many bytes of payload.
PAGE_ROWS = 1_000
PAGE_BYTES = 1 << 20
#: Facts of some kinds are looked for in so many offsets at a time.
SCAN = 50_000
#: So many readers of whole timelines at a time; the others wait for their turn.
MOST_STREAMS = 2
FOREVER_US = 2**62


@dataclass(frozen=True, slots=True)
class LeafFacts:
    """Which facts of which leaves are asked for."""

    workspace_id: WorkspaceId
    #: Each leaf with its shard, and the offset there to stop before.
    leaves: Sequence[tuple[int, LeafId, int]]
    #: Only those that occurred before this, Unix microseconds.
    before_us: int = FOREVER_US
    #: Only those that were recorded at or before this, Unix microseconds.
    recorded_until_us: int = FOREVER_US
    #: At most so many; None = all.
    limit: int | None = None


class Reader:
    """Reads by the connections of a pool. All methods raise StoreUnavailable."""

    def __init__(self, pool: asyncpg.Pool, kinds: Kinds) -> None:
        self._pool = pool
        self._kinds = kinds
        self._streams = asyncio.Semaphore(MOST_STREAMS)

    async def heads(self) -> Heads:
        """Where the log ends, and what time it is there."""
        async with acquire(self._pool) as conn:
            return await heads(conn)

    async def page(self, shard: int, first: int, until: int) -> list[Row]:
        """The first rows of [first, until) that are there: at least one, PAGE_BYTES at most."""
        async with acquire(self._pool) as conn:
            found = await conn.fetch(Q.page, shard, first, until, PAGE_BYTES)
            rows = await self._rows(conn, found)
        if rows and rows[-1].offset - first + 1 != len(rows):
            raise OnefoldError(f"shard {shard} has a hole after offset {first}: this is no log")
        return rows

    async def read(self, shard: int, first: int, until: int) -> AsyncGenerator[list[Row]]:
        """The rows of [first, until) that are there, in pages."""
        while first < until:
            rows = await self.page(shard, first, min(first + PAGE_ROWS, until))
            if not rows:
                return
            yield rows
            first = rows[-1].offset + 1

    async def read_kinds(
        self, shard: int, first: int, until: int, names: Iterable[str]
    ) -> AsyncGenerator[list[Row]]:
        """The rows of some kinds in [first, until), in pages."""
        async with acquire(self._pool) as conn:
            await self._kinds.load(conn)
        wanted = [self._kinds[name] for name in names if name in self._kinds]
        while first < until:
            stop = min(first + SCAN, until)
            async with acquire(self._pool) as conn:
                found = await conn.fetch(Q.page_of_kinds, shard, first, stop, wanted, PAGE_ROWS)
                rows = await self._rows(conn, found)
            if rows:
                yield rows
            first = rows[-1].offset + 1 if len(rows) == PAGE_ROWS else stop

    async def of_leaves(self, asked: LeafFacts) -> AsyncGenerator[list[Row]]:
        """The facts of leaves, newest occurrence first; of the same instant, highest id first."""
        arguments = (
            asked.workspace_id,
            [shard for shard, _, _ in asked.leaves],
            [leaf_id for _, leaf_id, _ in asked.leaves],
            [until for _, _, until in asked.leaves],
            asked.before_us,
            asked.recorded_until_us,
            asked.limit,
        )
        if asked.limit is not None and asked.limit <= PAGE_ROWS:
            async with acquire(self._pool) as conn:
                rows = await self._rows(conn, await conn.fetch(Q.of_leaves, *arguments))
            yield rows
            return
        # Each of these keeps a connection for as long as its reader takes.
        async with self._streams, transaction(self._pool) as conn:
            cursor = await conn.cursor(Q.of_leaves, *arguments)
            while found := await cursor.fetch(PAGE_ROWS):
                yield await self._rows(conn, found)

    async def _rows(self, conn: asyncpg.Connection, found: Sequence[asyncpg.Record]) -> list[Row]:
        rows = [Row._make(row) for row in found]
        if not {row.kind_id for row in rows} <= self._kinds.names.keys():
            await self._kinds.load(conn)  # another replica has met a new kind
        return rows
