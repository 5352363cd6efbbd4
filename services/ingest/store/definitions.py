"""Stores workspaces, sources and keys, as folded from the log."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

import asyncpg

from services.chassis.postgres.database import Queries, acquire
from services.ingest.domain.definitions import (
    KINDS,
    AccessDefinition,
    KeyDefinition,
    SourceDefinition,
    WorkspaceDefinition,
)

Q = Queries.load(__package__, "definitions.sql")

_STATEMENTS = (
    (WorkspaceDefinition, Q.save_workspaces),
    (SourceDefinition, Q.save_sources),
    (KeyDefinition, Q.save_keys),
)


class LoggedDefinition(NamedTuple):
    """A definition as the log has it."""

    offset: int
    workspace_id: str
    kind: str
    payload: bytes


async def lock_checkpoint(conn: asyncpg.Connection) -> int:
    """Return the offset of shard 0 up to which definitions are folded; lock it."""
    offset: int = await conn.fetchval(Q.lock_checkpoint)
    return offset


async def save_checkpoint(conn: asyncpg.Connection, offset: int) -> None:
    """Store the offset of shard 0 up to which definitions are folded."""
    await conn.execute(Q.save_checkpoint, offset)


async def end_of_shard(conn: asyncpg.Connection) -> int:
    """Return the end of shard 0; 0 for a new log."""
    return await conn.fetchval(Q.end_of_shard) or 0


async def logged_definitions(
    conn: asyncpg.Connection, first: int, limit: int
) -> list[LoggedDefinition]:
    """Return at most `limit` definitions of shard 0 from an offset on."""
    return [LoggedDefinition(*row) for row in await conn.fetch(Q.facts_from, first, KINDS, limit)]


async def save_definitions(
    conn: asyncpg.Connection, definitions: Iterable[AccessDefinition]
) -> None:
    """Store definitions, at most one version of each thing; older versions change nothing."""
    definitions = list(definitions)
    for type_, statement in _STATEMENTS:
        rows = [definition for definition in definitions if isinstance(definition, type_)]
        if rows:
            await conn.execute(statement, *map(list, zip(*rows, strict=True)))


class DefinitionStore:
    """The tables `workspace`, `source` and `api_key`. All methods raise StoreUnavailable."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def workspace(self, workspace_id: str) -> WorkspaceDefinition | None:
        async with acquire(self._pool) as conn:
            row = await conn.fetchrow(Q.workspace, workspace_id)
        return WorkspaceDefinition(*row) if row else None

    async def sources(self, workspace_id: str) -> list[SourceDefinition]:
        """Return the sources of a workspace, by id."""
        async with acquire(self._pool) as conn:
            return [SourceDefinition(*row) for row in await conn.fetch(Q.sources, workspace_id)]

    async def source(self, workspace_id: str, source_id: str) -> SourceDefinition | None:
        async with acquire(self._pool) as conn:
            row = await conn.fetchrow(Q.source, workspace_id, source_id)
        return SourceDefinition(*row) if row else None

    async def keys(self, workspace_id: str) -> list[KeyDefinition]:
        """Return the keys of a workspace, by id."""
        async with acquire(self._pool) as conn:
            return [KeyDefinition(*row) for row in await conn.fetch(Q.keys, workspace_id)]

    async def key(self, workspace_id: str, key_id: str) -> KeyDefinition | None:
        async with acquire(self._pool) as conn:
            row = await conn.fetchrow(Q.key, workspace_id, key_id)
        return KeyDefinition(*row) if row else None


class SourceDirectory:
    """Finds the default channels of sources, with a cache."""

    #: How long a channel is cached, seconds.
    CACHE_S = 5.0

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._cache: dict[tuple[str, str], tuple[float, str]] = {}

    async def default_channel(self, workspace_id: str, source_id: str) -> str:
        """Return the channel of events that name none; empty for an unknown source.

        Raises StoreUnavailable.
        """
        name, now = (workspace_id, source_id), time.monotonic()
        expires, channel = self._cache.get(name, (0.0, ""))
        if now < expires:
            return channel
        async with acquire(self._pool) as conn:
            channel = await conn.fetchval(Q.default_channel, workspace_id, source_id) or ""
        self._cache[name] = (now + self.CACHE_S, channel)
        return channel

    def invalidate(self) -> None:
        """Clear the cache, because a source may have changed."""
        self._cache.clear()
