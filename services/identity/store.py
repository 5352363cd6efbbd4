"""Identifiers and edges in PostgreSQL; one statement a table and batch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

import asyncpg

from services.chassis.database import Queries
from services.chassis.position import add_digest
from services.identity.domain.facts import Edge, First, Name
from services.identity.domain.model import Known, Moved, Outcome
from services.kernel.identifiers import Identifier
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId, hash_id, shard_of

Q = Queries.load(__package__)

#: Locks are numbers of one space for the whole database; this keeps ours apart from others'.
_SALT = int.from_bytes(hash_id("onefold", "identity", "lock")[:8], "big")
#: Held shared by whoever locks ids one by one, and alone by whoever locks too many for that.
_ALL = 0
#: PostgreSQL has room for some thousands of locks in all.
_MANY = 256


class PostgresTables:
    """Identifiers and edges inside the open transaction of a connection.

    `shard` is the one whose worker writes, `shards` how many there are.
    """

    def __init__(self, conn: asyncpg.Connection, *, shard: int, shards: int) -> None:
        self._conn = conn
        self._shard = shard
        self._shards = shards

    async def profiles(self, ids: Collection[bytes]) -> dict[IdentifierId, ProfileId]:
        """See `Tables.profiles`."""
        return dict(await self._conn.fetch(Q.load_profiles, list(ids)))

    async def identifiers(self, ids: Collection[bytes]) -> dict[IdentifierId, Known]:
        """See `Tables.identifiers`."""
        rows = await self._conn.fetch(Q.load_identifiers, list(ids))
        return {id_: Known(profile, First(at, fact)) for id_, profile, at, fact in rows}

    async def edges(self, edges: Collection[Edge]) -> dict[Edge, First]:
        """See `Tables.edges`."""
        if not edges:
            return {}
        rows = await self._conn.fetch(Q.load_edges, *_columns(edges))
        return {Edge(a, b, strength): First(at, fact) for a, b, strength, at, fact in rows}

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[_Savepoint]:
        """See `Tables.savepoint`."""
        savepoint = _Savepoint()
        inner = self._conn.transaction()
        await inner.start()
        try:
            yield savepoint
        except BaseException:
            await inner.rollback()
            raise
        if savepoint.given_up:
            await inner.rollback()
        else:
            await inner.commit()

    async def lock(self, stake: Collection[bytes]) -> None:
        """See `Tables.lock`."""
        if len(stake) > _MANY:
            await self._conn.execute(Q.lock_all, _lock_key(_ALL))
        else:
            # In one order for all callers, or two could wait for each other for ever.
            keys = sorted({_lock_key(int.from_bytes(id_[:8], "big")) for id_ in stake})
            await self._conn.execute(Q.lock, [_lock_key(_ALL), *keys])

    async def next_version(self) -> int:
        """See `Tables.next_version`."""
        version: int = await self._conn.fetchval(Q.next_version)
        return version

    async def keep(
        self, outcome: Outcome, names: Mapping[IdentifierId, Name], version: int
    ) -> None:
        """See `Tables.keep`."""
        if outcome.added:
            rows = [self._row(outcome, i, names[i]) for i in sorted(outcome.added)]
            await self._conn.execute(Q.add_identifiers, version, *_columns(rows))
        if outcome.earlier:
            seen = sorted((i, *first) for i, first in outcome.earlier.items())
            await self._conn.execute(Q.see_earlier, *_columns(seen))
        if outcome.edges:
            edges = [self._edge_row(outcome, e, names[e.a]) for e in sorted(outcome.edges)]
            await self._conn.execute(Q.save_edges, *_columns(edges))

    async def move(self, outcome: Outcome, version: int) -> list[Moved]:
        """See `Tables.move`."""
        if not outcome.moved:
            return []
        rows = await self._conn.fetch(Q.move, version, *_columns(outcome.moved.items()))
        return [
            Moved(id_, before, after, _name(workspace, namespace, value), First(at, fact))
            for id_, before, after, workspace, namespace, value, at, fact in rows
        ]

    async def add_digest(self, deltas: Mapping[str, int]) -> None:
        """See `Tables.add_digest`."""
        await add_digest(self._conn, self._shard, deltas)

    def _row(self, outcome: Outcome, id_: IdentifierId, name: Name) -> tuple[object, ...]:
        shard, spelled = shard_of(id_, self._shards), name.identifier or (None, None)
        return (
            *(shard, id_, name.workspace_id, *spelled),
            *(outcome.profiles[id_], *outcome.added[id_]),
        )

    def _edge_row(self, outcome: Outcome, edge: Edge, name: Name) -> tuple[object, ...]:
        shard = shard_of(edge.a, self._shards)
        return (shard, *edge, name.workspace_id, *outcome.edges[edge])


class _Savepoint:
    def __init__(self) -> None:
        self.given_up = False

    def give_up(self) -> None:
        self.given_up = True


def _lock_key(number: int) -> int:
    return int.from_bytes((number ^ _SALT).to_bytes(8, "big"), "big", signed=True)


def _columns(rows: Collection[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _name(workspace: str, namespace: str | None, value: str | None) -> Name:
    identifier = None if namespace is None else Identifier(namespace, value or "")
    return Name(WorkspaceId(workspace), identifier)
