"""Stores refused events until they are repaired and released."""

from __future__ import annotations

import time
from collections.abc import Sequence

import asyncpg
from cachetools import TTLCache

from services.chassis.postgres.database import Queries, acquire, transaction
from services.ingest.domain.events import QuarantinedEvent, Refusal
from services.ingest.domain.quarantine_quota import QuarantineQuota, QuarantineUsage, fitting
from services.kernel.errors import NotFound
from services.kernel.ids import FactId, shard_of

Q = Queries.load(__package__, "quarantine.sql")


#: For how long a source that is over its quota gets no new attempt, seconds.
_FULL_S = 5.0
_MAX_FULL = 10_000
#: The most events that are deleted in one transaction.
DELETE_BATCH = 500


async def delete_entries(conn: asyncpg.Connection, entries: Sequence[asyncpg.Record]) -> int:
    """Delete events in an open transaction; return their number.

    The quotas are locked first, as all who change the quarantine do.
    """
    if entries:
        sources = sorted({(row["workspace_id"], row["source_id"]) for row in entries})
        await conn.execute(Q.lock_usages, *map(list, zip(*sources, strict=True)))
        shards = [row["shard"] for row in entries]
        await conn.execute(Q.delete_entries, shards, [row["quarantine_id"] for row in entries])
    return len(entries)


class QuarantineStore:
    """The table `quarantine`. All methods raise StoreUnavailable.

    Each method but `save` and `delete_older` sees the events of the current call's workspace.
    """

    def __init__(
        self, api_pool: asyncpg.Pool, pool: asyncpg.Pool, shards: int, quota: QuarantineQuota
    ) -> None:
        """`pool` is that of the fold role, as events of all workspaces expire together."""
        self._api_pool = api_pool
        self._pool = pool
        self._shards = shards
        self._quota = quota
        #: The sources that are over their quotas.
        self._full: TTLCache[tuple[str, str], bool] = TTLCache(_MAX_FULL, _FULL_S, time.monotonic)

    async def save(self, events: Sequence[QuarantinedEvent]) -> frozenset[bytes]:
        """Store events of one source, as far as its quota allows.

        Return the ids of those that are not stored. An event that is stored already stays as it is.
        """
        workspace_id, source_id = events[0].workspace_id, events[0].source_id
        by_id = {event.quarantine_id: event for event in events}
        if (workspace_id, source_id) in self._full:
            return frozenset(by_id)
        ids = sorted(by_id)
        async with transaction(self._api_pool, workspace_id) as conn:
            # Transactions of one source run one after the other, so the quota is exact.
            [usage] = await conn.fetch(Q.lock_usage, workspace_id, source_id)
            shards = list(map(self._shard, ids))
            rows = await conn.fetch(Q.stored_ids, workspace_id, shards, ids)
            stored = {id_ for (id_,) in rows}
            new = [by_id[id_] for id_ in ids if id_ not in stored]
            sizes = [len(event.raw) for event in new]
            fits = fitting(QuarantineUsage(*usage), self._quota, sizes)
            fitting_events = [event for event, fits_in in zip(new, fits, strict=True) if fits_in]
            if fitting_events:
                columns = map(list, zip(*map(self._row, fitting_events), strict=True))
                await conn.execute(Q.save, workspace_id, source_id, *columns)
        refused = {e.quarantine_id for e in new} - {e.quarantine_id for e in fitting_events}
        if refused:
            self._full[workspace_id, source_id] = True
        return frozenset(refused)

    async def delete_older(self, before_us: int) -> int:
        """Delete at most DELETE_BATCH events that were received before; return how many."""
        async with transaction(self._pool) as conn:
            return await delete_entries(conn, await conn.fetch(Q.expired, before_us, DELETE_BATCH))

    async def get(self, workspace_id: str, quarantine_id: bytes) -> QuarantinedEvent:
        """Return an event of the workspace. Raises NotFound."""
        shard = self._shard(quarantine_id)
        async with acquire(self._api_pool) as conn:
            row = await conn.fetchrow(Q.get, shard, quarantine_id, workspace_id)
        if row is None:
            raise NotFound("the workspace has no quarantined event with this id; list them")
        return quarantined_event(row)

    async def page(
        self, workspace_id: str, after: tuple[int, bytes] | None, limit: int, *, released: bool
    ) -> list[QuarantinedEvent]:
        """Return events, newest first; with `released` also those that were released.

        `after`: (received_at_us, quarantine_id) of the last event of the page before.
        """
        received_at_us, quarantine_id = after or (2**62, b"\xff" * 16)
        async with acquire(self._api_pool) as conn:
            rows = await conn.fetch(
                Q.page, workspace_id, received_at_us, quarantine_id, released, limit
            )
        return [quarantined_event(row) for row in rows]

    async def mark_released(self, event: QuarantinedEvent, fact_id: FactId) -> None:
        """Store the id of the fact that an event became."""
        shard, source = self._shard(event.quarantine_id), (event.workspace_id, event.source_id)
        async with transaction(self._api_pool) as conn:
            await conn.execute(Q.lock_usage, *source)
            await conn.execute(Q.mark_released, shard, event.quarantine_id, *source, fact_id)

    def _row(self, event: QuarantinedEvent) -> tuple[object, ...]:
        return (
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

    def _shard(self, quarantine_id: bytes) -> int:
        return shard_of(quarantine_id, self._shards)


def quarantined_event(row: asyncpg.Record) -> QuarantinedEvent:
    """Return the event of a row."""
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
