"""Stores refused events until they are repaired and released."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from services.chassis.postgres.database import Queries, acquire
from services.ingest.domain.events import QuarantinedEvent, Refusal
from services.kernel.errors import NotFound
from services.kernel.ids import FactId, shard_of

Q = Queries.load(__package__, "quarantine.sql")


class QuarantineStore:
    """The table `quarantine`. All methods raise StoreUnavailable.

    Each method but `save` sees the events of the current call's workspace.
    """

    def __init__(self, pool: asyncpg.Pool, shards: int) -> None:
        """`pool`: that of the api role."""
        self._pool = pool
        self._shards = shards

    async def save(self, events: Sequence[QuarantinedEvent]) -> None:
        """Store events of one workspace; an event that is stored already stays as it is."""
        rows = [
            (
                self._shard(event.quarantine_id),
                event.quarantine_id,
                event.workspace_id,
                event.source_id,
                event.endpoint,
                *event.refusal,
                event.format,
                event.raw,
                event.received_at_us,
            )
            # Sorted, so that concurrent calls cannot deadlock.
            for event in sorted(events, key=lambda event: event.quarantine_id)
        ]
        async with acquire(self._pool, events[0].workspace_id) as conn:
            await conn.execute(Q.save, *map(list, zip(*rows, strict=True)))

    async def get(self, workspace_id: str, quarantine_id: bytes) -> QuarantinedEvent:
        """Return an event of the workspace. Raises NotFound."""
        shard = self._shard(quarantine_id)
        async with acquire(self._pool) as conn:
            row = await conn.fetchrow(Q.get, shard, quarantine_id, workspace_id)
        if row is None:
            raise NotFound("the workspace has no quarantined event with this id; list them")
        return _event(row)

    async def page(
        self, workspace_id: str, after: tuple[int, bytes] | None, limit: int, *, released: bool
    ) -> list[QuarantinedEvent]:
        """Return events, newest first; with `released` also those that were released.

        `after`: (received_at_us, quarantine_id) of the last event of the page before.
        """
        received_at_us, quarantine_id = after or (2**62, b"\xff" * 16)
        async with acquire(self._pool) as conn:
            rows = await conn.fetch(
                Q.page, workspace_id, received_at_us, quarantine_id, released, limit
            )
        return [_event(row) for row in rows]

    async def mark_released(self, quarantine_id: bytes, fact_id: FactId) -> None:
        """Store the id of the fact that an event became."""
        shard = self._shard(quarantine_id)
        async with acquire(self._pool) as conn:
            await conn.execute(Q.mark_released, shard, quarantine_id, fact_id)

    def _shard(self, quarantine_id: bytes) -> int:
        return shard_of(quarantine_id, self._shards)


def _event(row: asyncpg.Record) -> QuarantinedEvent:
    return QuarantinedEvent(
        row["quarantine_id"],
        row["workspace_id"],
        row["source_id"],
        row["endpoint"],
        Refusal(row["reason"], row["field"], row["message"]),
        row["format"],
        row["raw"],
        row["received_at"],
        row["released_fact_id"],
    )
