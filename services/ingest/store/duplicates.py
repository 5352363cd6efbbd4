"""Stores which messages were sent again, how often, and when."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from services.chassis.postgres.database import Queries, acquire, transaction
from services.ingest.domain.duplicates import DuplicateCounts, DuplicateMessage, Repeats

Q = Queries.load(__package__, "duplicates.sql")

#: The most messages of one source that are listed; repeats of others count in its total only.
MAX_MESSAGES = 10_000
#: The most messages that are deleted in one transaction.
DELETE_BATCH = 5_000


class DuplicateStore:
    """The tables `duplicate` and `duplicate_total`. All methods raise StoreUnavailable."""

    def __init__(self, api_pool: asyncpg.Pool, pool: asyncpg.Pool) -> None:
        """`pool` is that of the fold role, as counts of all workspaces are stored together."""
        self._api_pool = api_pool
        self._pool = pool

    async def add(self, counts: DuplicateCounts) -> None:
        """Add counts to what is stored, all or none."""
        totals = [(*source, *repeats) for source, repeats in sorted(counts.totals.items())]
        messages = [
            (*source, fact_id, *repeats)
            for (source, fact_id), repeats in sorted(counts.messages.items())
        ]
        async with transaction(self._pool) as conn:
            await conn.execute(Q.add_totals, *map(list, zip(*totals, strict=True)))
            columns = map(list, zip(*messages, strict=True))
            await conn.execute(Q.add_messages, *columns, MAX_MESSAGES)

    async def delete_older(self, before_us: int) -> int:
        """Delete at most DELETE_BATCH messages that were last sent before; return how many."""
        async with transaction(self._pool) as conn:
            status = await conn.execute(Q.delete_older, before_us, DELETE_BATCH)
        return int(status.rpartition(" ")[2])

    async def page(
        self, workspace_id: str, source_id: str, after: tuple[int, bytes] | None, limit: int
    ) -> list[DuplicateMessage]:
        """Return messages of a source ("" = of all), those that were sent again last first.

        `after`: (last_at_us, fact_id) of the last message of the page before.
        """
        key = after or (2**62, b"\xff" * 16)
        async with acquire(self._api_pool) as conn:
            rows = await conn.fetch(Q.page, workspace_id, *key, source_id, limit)
        return [
            DuplicateMessage(source_id, fact_id, Repeats(*repeats))
            for source_id, fact_id, *repeats in rows
        ]

    async def totals(self, workspace_id: str) -> Sequence[tuple[str, Repeats]]:
        """Return the repeats of each source that has any, by source."""
        async with acquire(self._api_pool) as conn:
            rows = await conn.fetch(Q.totals, workspace_id)
        return [(source_id, Repeats(*repeats)) for source_id, *repeats in rows]
