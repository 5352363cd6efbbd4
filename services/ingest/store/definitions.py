"""Stores workspaces, sources and keys, as folded from the log."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, TypeVar

import asyncpg
from cachetools import TTLCache

from services.chassis.access.tables import Q as access
from services.chassis.postgres.database import Queries, acquire
from services.ingest.domain.definitions import (
    SYSTEM_SOURCE_ID,
    AccessDefinition,
    FieldClassesDefinition,
    KeyDefinition,
    SourceDefinition,
    WorkspaceDefinition,
)
from services.kernel.trust import SourceTrust

Q = Queries.load(__package__, "definitions.sql")
D = TypeVar("D", WorkspaceDefinition, SourceDefinition, KeyDefinition)

#: How many sources are cached, and for how long, seconds.
_MAX_CACHED, _CACHE_S = 10_000, 5.0

_CLASS_COLUMNS = ("identifiers", "names")
_STATEMENTS = ((WorkspaceDefinition, Q.save_workspaces), (KeyDefinition, Q.save_keys))


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
    conn: asyncpg.Connection, first: int, kinds: Iterable[str], limit: int
) -> list[asyncpg.Record]:
    """Return facts of some kinds in shard 0; the columns have the names of the fact's fields."""
    return await conn.fetch(Q.facts_from, first, kinds, limit)


async def save_definitions(
    conn: asyncpg.Connection, definitions: Iterable[AccessDefinition]
) -> None:
    """Store definitions, at most one version of each thing; older versions change nothing."""
    definitions = list(definitions)
    for type_, statement in _STATEMENTS:
        rows = [map(_column, each) for each in definitions if isinstance(each, type_)]
        if rows:
            await conn.execute(statement, *map(list, zip(*rows, strict=True)))
    # One by one: arrays of different lengths are no columns that one statement unnests.
    sources = [each for each in definitions if isinstance(each, SourceDefinition)]
    await conn.executemany(Q.save_sources, sources)


class DefinitionStore:
    """The tables `workspace`, `source` and `api_key`. All methods raise StoreUnavailable."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def workspace(self, workspace_id: str) -> WorkspaceDefinition | None:
        return _first(await _load(self._pool, WorkspaceDefinition, Q.workspace, workspace_id))

    async def sources(self, workspace_id: str) -> list[SourceDefinition]:
        """Return the sources of a workspace, by id."""
        return await _load(self._pool, SourceDefinition, Q.sources, workspace_id)

    async def source(self, workspace_id: str, source_id: str) -> SourceDefinition | None:
        return _first(await _load(self._pool, SourceDefinition, Q.source, workspace_id, source_id))

    async def keys(self, workspace_id: str) -> list[KeyDefinition]:
        """Return the keys of a workspace, by id."""
        return await _load(self._pool, KeyDefinition, Q.keys, workspace_id)

    async def key(self, workspace_id: str, key_id: str) -> KeyDefinition | None:
        return _first(await _load(self._pool, KeyDefinition, Q.key, workspace_id, key_id))

    async def field_classes(self, workspace_id: str) -> FieldClassesDefinition | None:
        """Return the classes of a workspace, which `access_field_classes` has."""
        async with acquire(self._pool, workspace_id) as conn:
            row = await conn.fetchrow(access.load_field_classes, workspace_id)
        if row is None:
            return None
        identifiers, names = (
            tuple(sorted(json.loads(row[column]).items())) for column in _CLASS_COLUMNS
        )
        return FieldClassesDefinition(workspace_id, identifiers, names, row["version"])


async def _load(pool: asyncpg.Pool, type_: type[D], statement: str, *ids: str) -> list[D]:
    """Return the definitions that a statement reads; the first of `ids` is the workspace."""
    async with acquire(pool, ids[0]) as conn:
        return [type_(*map(_field, row)) for row in await conn.fetch(statement, *ids)]


def _column(field: Any) -> Any:
    """Return the column of a field; texts are separated by spaces, which none of them has."""
    return " ".join(field) if isinstance(field, tuple) else field


def _field(column: Any) -> Any:
    return tuple(column) if isinstance(column, list) else column


def _first(found: list[D]) -> D | None:
    return found[0] if found else None


class SourceDirectory:
    """Finds the definitions of sources, with a cache."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._cache: TTLCache[tuple[str, str], SourceDefinition] = TTLCache(_MAX_CACHED, _CACHE_S)

    async def find(self, workspace_id: str, source_id: str) -> SourceDefinition:
        """Return a source; one that is not known is public, except for that of the system itself.

        Raises StoreUnavailable.
        """
        source = self._cache.get((workspace_id, source_id))
        if source is None:
            ids = (workspace_id, source_id)
            found = await _load(self._pool, SourceDefinition, Q.source, *ids)
            own = SourceTrust.SERVER if source_id == SYSTEM_SOURCE_ID else SourceTrust.PUBLIC
            source = _first(found) or SourceDefinition(*ids, trust=own)
            self._cache[ids] = source
        return source

    def invalidate(self) -> None:
        """Clear the cache, because a source may have changed."""
        self._cache.clear()
