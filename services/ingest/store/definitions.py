"""The tables of the doors: quarantine, and definitions folded from the log."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import asyncpg

from services.chassis.postgres.database import Queries, acquire, transaction
from services.ingest.domain.definitions import (
    KINDS,
    Definition,
    KeyDefinition,
    SourceDefinition,
    WorkspaceDefinition,
    newest,
)
from services.ingest.domain.model import Refusal
from services.ingest.ports import Cursor, Entry, Told
from services.kernel.ids import FactId, shard_of

Q = Queries.load(__package__)

#: Reads the definition that a fact tells.
Read = Callable[[Told], Definition]
#: Folds facts into the tables by which keys are known.
FoldAccess = Callable[[asyncpg.Connection, Sequence[Told]], Awaitable[object]]

_FOLD_AT_ONCE = 1_000
_END = Cursor(2**62, b"\xff" * 16)


class QuarantineStore:
    """Refused events in PostgreSQL."""

    def __init__(self, pool: asyncpg.Pool, shards: int) -> None:
        self._pool = pool
        self._shards = shards

    async def keep(self, entries: Sequence[Entry]) -> None:
        """Keep them; an entry whose id is there already is left as it is."""
        rows = [
            (
                *(self._shard(e.quarantine_id), e.quarantine_id, e.workspace_id, e.source_id),
                *(e.door, *e.refusal, e.form, e.raw, e.received_at_us),
            )
            for e in sorted(entries, key=lambda e: e.quarantine_id)
        ]
        async with acquire(self._pool) as conn:
            await conn.execute(Q.keep, *map(list, zip(*rows, strict=True)))

    async def find(self, workspace_id: str, quarantine_id: bytes) -> Entry | None:
        """The entry, if it is of this workspace."""
        async with acquire(self._pool) as conn:
            row = await conn.fetchrow(
                Q.find, self._shard(quarantine_id), quarantine_id, workspace_id
            )
        return _entry(row) if row else None

    async def page(
        self, workspace_id: str, before: Cursor | None, limit: int, *, released: bool
    ) -> list[Entry]:
        """Entries newest first; with `released` also those that were released."""
        place = before or _END
        async with acquire(self._pool) as conn:
            rows = await conn.fetch(
                *(Q.page, workspace_id, place.received_at_us, place.quarantine_id, released, limit)
            )
        return [_entry(row) for row in rows]

    async def release(self, quarantine_id: bytes, fact_id: FactId) -> None:
        """Note the fact that an entry became."""
        async with acquire(self._pool) as conn:
            await conn.execute(Q.release, self._shard(quarantine_id), quarantine_id, fact_id)

    def _shard(self, quarantine_id: bytes) -> int:
        return shard_of(quarantine_id, self._shards)


def _entry(row: Any) -> Entry:
    return Entry(
        row["quarantine_id"],
        row["workspace_id"],
        row["source_id"],
        row["door"],
        Refusal(row["reason"], row["field"], row["message"]),
        row["form"],
        row["raw"],
        row["received_at"],
        row["released_fact_id"],
    )


class DefinitionStore:
    """Workspaces, sources and keys as the log tells them."""

    #: How long a source that was looked up is believed without looking again, seconds.
    BELIEVED_S = 5.0

    def __init__(self, pool: asyncpg.Pool, read: Read, fold_access: FoldAccess) -> None:
        self._pool = pool
        self._read = read
        self._fold_access = fold_access
        self._channels: dict[tuple[str, str], tuple[float, str]] = {}

    async def catch_up(self) -> bool:
        """Fold what the log tells beyond what was folded before; answers whether there was any.

        In one transaction with its place, so it can be stopped anywhere and called again.
        """
        found = False
        while await self._fold_some():
            found = True
        if found:
            self._channels.clear()
        return found

    async def _fold_some(self) -> bool:
        async with transaction(self._pool) as conn:
            first = await conn.fetchval(Q.lock_folded)
            # Read before the facts: what is appended in between is for the next time.
            end = await conn.fetchval(Q.end_of_shard)
            if end is None or end <= first:
                return False
            rows = await conn.fetch(Q.definitions_from, first, KINDS, _FOLD_AT_ONCE)
            await self._fold(conn, [Told(r["workspace_id"], r["kind"], r["payload"]) for r in rows])
            more = len(rows) == _FOLD_AT_ONCE
            await conn.execute(Q.save_folded, rows[-1]["offset"] + 1 if more else end)
        return bool(rows)

    async def _fold(self, conn: asyncpg.Connection, told: Sequence[Told]) -> None:
        await self._fold_access(conn, told)
        held = newest(map(self._read, told))
        await _write(conn, Q.fold_workspaces, held, WorkspaceDefinition)
        await _write(conn, Q.fold_sources, held, SourceDefinition)
        await _write(conn, Q.fold_keys, held, KeyDefinition)

    async def channel_of(self, workspace_id: str, source_id: str) -> str:
        """The channel of events that name none; empty for an unknown source."""
        name, now = (workspace_id, source_id), time.monotonic()
        until, channel = self._channels.get(name, (0.0, ""))
        if now < until:
            return channel
        async with acquire(self._pool) as conn:
            channel = await conn.fetchval(Q.channel_of, *name) or ""
        self._channels[name] = (now + self.BELIEVED_S, channel)
        return channel

    async def workspace(self, workspace_id: str) -> WorkspaceDefinition | None:
        """One workspace."""
        async with acquire(self._pool) as conn:
            row = await conn.fetchrow(Q.workspace, workspace_id)
        return WorkspaceDefinition(*row) if row else None

    async def sources(self, workspace_id: str) -> list[SourceDefinition]:
        """The sources of a workspace, by id."""
        async with acquire(self._pool) as conn:
            return [SourceDefinition(*row) for row in await conn.fetch(Q.sources, workspace_id)]

    async def source(self, workspace_id: str, source_id: str) -> SourceDefinition | None:
        """One source."""
        async with acquire(self._pool) as conn:
            row = await conn.fetchrow(Q.source, workspace_id, source_id)
        return SourceDefinition(*row) if row else None

    async def keys(self, workspace_id: str) -> list[KeyDefinition]:
        """The keys of a workspace, by id."""
        async with acquire(self._pool) as conn:
            return [KeyDefinition(*row) for row in await conn.fetch(Q.keys, workspace_id)]

    async def key(self, workspace_id: str, key_id: str) -> KeyDefinition | None:
        """One key."""
        async with acquire(self._pool) as conn:
            row = await conn.fetchrow(Q.key, workspace_id, key_id)
        return KeyDefinition(*row) if row else None


async def _write(
    conn: asyncpg.Connection, statement: str, held: Iterable[Definition], kind: type
) -> None:
    rows = [definition for definition in held if isinstance(definition, kind)]
    if rows:
        await conn.execute(statement, *map(list, zip(*rows, strict=True)))
