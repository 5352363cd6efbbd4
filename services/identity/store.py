"""Identifiers and edges in PostgreSQL; one statement a table and batch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Any

import asyncpg

from services.chassis.database import Queries
from services.identity.domain.facts import Edge, First, Name
from services.identity.domain.model import (
    Assignment,
    Evidence,
    Kept,
    Known,
    Moved,
    Outcome,
    Person,
    Seen,
)
from services.kernel.identifiers import Identifier
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId, hash_id, shard_of

Q = Queries.load(__package__)

#: Locks are numbers of one space for the whole database. What is mixed into ours keeps them apart
#: from others', and those of a rebuild apart from those of the live state.
LIVE = int.from_bytes(hash_id("onefold", "identity", "live")[:8], "big")
REBUILDING = int.from_bytes(hash_id("onefold", "identity", "rebuilding")[:8], "big")
#: Held shared by whoever locks ids one by one, and alone by whoever locks too many for that.
_ALL = 0
#: PostgreSQL has room for some thousands of locks in all.
_MANY = 256

_IDENTIFIER_COLUMNS = (
    "shard identifier_id workspace_id namespace value profile_id first_seen_us first_fact version"
)
_EDGE_COLUMNS = "shard a b strength workspace_id first_seen_us first_fact"


class PostgresTables:
    """Identifiers and edges inside the open transaction of a connection.

    `shards`: how many there are; `space`: that of the locks.
    """

    def __init__(self, conn: asyncpg.Connection, *, shards: int, space: int = LIVE) -> None:
        self._conn = conn
        self._space = space
        self._shards = shards

    async def profiles(self, ids: Collection[bytes]) -> dict[IdentifierId, ProfileId]:
        """See `Tables.profiles`."""
        return _pairs(await self._conn.fetch(Q.load_profiles, list(ids)))

    async def look(self, evidence: Evidence) -> Kept:
        """See `Tables.look`."""
        return _kept(await self._conn.fetch(Q.look, *_asked(evidence)))

    async def hold(self, stake: Collection[bytes]) -> bool:
        """See `Tables.hold`."""
        if len(stake) > _MANY:
            await self._conn.execute(Q.lock_all, self._lock_key(_ALL))
            return True
        # In one order for all callers, or two could wait for each other for ever.
        keys = sorted({self._lock_key(int.from_bytes(id_[:8], "big")) for id_ in stake})
        await self._conn.execute("SAVEPOINT held")
        await self._conn.execute(Q.lock, [self._lock_key(_ALL), *keys])
        return False

    async def let_go(self) -> None:
        """See `Tables.let_go`."""
        await self._conn.execute("ROLLBACK TO SAVEPOINT held")

    async def look_again(self, evidence: Evidence) -> tuple[Kept, int]:
        """See `Tables.look_again`."""
        *rows, last = await self._conn.fetch(Q.look_again, *_asked(evidence))
        return _kept(rows), last["first_seen_us"]

    async def keep(
        self, outcome: Outcome, names: Mapping[IdentifierId, Name], version: int
    ) -> None:
        """See `Tables.keep`."""
        if outcome.added:
            rows = [(*self._row(outcome, i, names[i]), version) for i in sorted(outcome.added)]
            await self._copy("identifier", _IDENTIFIER_COLUMNS, rows)
        if outcome.earlier:
            sightings = [(i, *first) for i, first in outcome.earlier.items()]
            await self._conn.execute(Q.see_earlier, *_columns(sightings))
        if outcome.added_edges:
            edges = [self._edge_row(outcome, e, names[e.a]) for e in sorted(outcome.added_edges)]
            await self._copy("edge", _EDGE_COLUMNS, edges)
        if outcome.earlier_edges:
            seen = [(*e, *first) for e, first in outcome.earlier_edges.items()]
            await self._conn.execute(Q.see_edges_earlier, *_columns(seen))

    async def _copy(self, table: str, columns: str, rows: list[tuple[object, ...]]) -> None:
        # COPY costs a third of what INSERT … SELECT unnest(…) costs on this side of the wire.
        await self._conn.copy_records_to_table(table, records=rows, columns=columns.split())

    async def move(self, outcome: Outcome, version: int) -> list[Moved]:
        """See `Tables.move`."""
        if not outcome.moved:
            return []
        rows = await self._conn.fetch(Q.move, version, *_columns(outcome.moved.items()))
        return [
            Moved(id_, before, after, _name(workspace, namespace, value), First(at, fact))
            for id_, before, after, workspace, namespace, value, at, fact in rows
        ]

    def _lock_key(self, number: int) -> int:
        return int.from_bytes((number ^ self._space).to_bytes(8, "big"), "big", signed=True)

    def _row(self, outcome: Outcome, id_: IdentifierId, name: Name) -> tuple[object, ...]:
        shard, spelled = shard_of(id_, self._shards), name.identifier or (None, None)
        return (
            *(shard, id_, name.workspace_id, *spelled),
            *(outcome.profiles[id_], *outcome.added[id_]),
        )

    def _edge_row(self, outcome: Outcome, edge: Edge, name: Name) -> tuple[object, ...]:
        shard = shard_of(edge.a, self._shards)
        return (shard, *edge, name.workspace_id, *outcome.added_edges[edge])


def _asked(evidence: Evidence) -> tuple[list[Any], ...]:
    edges = _columns(evidence.edges) if evidence.edges else [[], [], []]
    return ([*evidence.names], *edges)


def _kept(rows: Iterable[Any]) -> Kept:
    known: dict[IdentifierId, Known] = {}
    edges: dict[Edge, First] = {}
    for a, b, strength, at, fact in rows:
        if strength is None:
            known[a] = Known(b, First(at, fact))
        else:
            edges[Edge(a, b, strength)] = First(at, fact)
    return Kept(known, edges)


def _columns(rows: Collection[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _name(workspace: str, namespace: str | None, value: str | None) -> Name:
    identifier = None if namespace is None else Identifier(namespace, value or "")
    return Name(WorkspaceId(workspace), identifier)


def _pairs(rows: list[Any]) -> dict[IdentifierId, ProfileId]:
    return dict(rows)


async def resolve(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, ids: Sequence[bytes]
) -> dict[IdentifierId, ProfileId]:
    """The profiles of those of `ids` that are known in a workspace."""
    return _pairs(await conn.fetch(Q.resolve, ids, workspace_id)) if ids else {}


async def load_person(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, id_: bytes
) -> Person | None:
    """The profile that holds an identifier; None where the workspace knows no such identifier."""
    rows = await conn.fetch(Q.list_identifiers, id_, workspace_id)
    if not rows:
        return None
    seen = tuple(
        Seen(Identifier(namespace, value), First(at, fact))
        for _, namespace, value, at, fact in rows
        if namespace is not None
    )
    return Person(rows[0]["profile_id"], seen)


async def read_assignments(conn: asyncpg.Connection, *, prefetch: int) -> AsyncIterator[Assignment]:
    """Which profile every identifier belongs to; inside a transaction."""
    async for row in conn.cursor(Q.read_assignments, prefetch=prefetch):
        workspace, id_, profile, version, namespace, value = row
        yield Assignment(id_, profile, version, _name(workspace, namespace, value))


async def count_rows(conn: asyncpg.Connection) -> dict[str, int]:
    """Named counts for the status."""
    return dict(await conn.fetchrow(Q.count_rows) or {})
