"""Deletes what identity has of erased persons."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg

from services.chassis.postgres.database import Queries
from services.identity.domain.evidence import Decision, Edge, FirstSeen, IdentifierInWorkspace, Pair
from services.identity.domain.rows import EdgeRow, IdentifierRow
from services.identity.store.matches import StoredMatch
from services.identity.store.rows import edge_row_of, identifier_of
from services.kernel.erasures import PersonErasure
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId

Q = Queries.load(__package__, "erasure.sql")


class PartedIdentifier(NamedTuple):
    """An identifier of a profile whose name is gone."""

    id: IdentifierId
    #: The profile before; now the identifier is one of its own.
    before: ProfileId
    identifier: IdentifierInWorkspace
    first: FirstSeen


@dataclass(frozen=True, slots=True)
class DeletedRows:
    """The rows of a person, which are deleted."""

    identifiers: dict[IdentifierId, IdentifierRow]
    edges: dict[Edge, EdgeRow]
    decisions: dict[Pair, Decision]
    matches: dict[Pair, StoredMatch]

    @property
    def profiles(self) -> set[ProfileId]:
        """The profiles of the identifiers."""
        return {row.profile_id for row in self.identifiers.values()}

    def others(self, erased: Collection[bytes]) -> set[IdentifierId]:
        """Return the identifiers of others that the rows name."""
        pairs = [*(edge[:2] for edge in self.edges), *self.decisions, *self.matches]
        return {id_ for pair in pairs for id_ in pair} - set(map(IdentifierId, erased))


async def pass_shard(conn: asyncpg.Connection, person: PersonErasure, shard: int) -> int:
    """Save that a shard has come to an erasure; return how many shards have."""
    key, ids = person[:2], (sorted(person.ids), sorted(person.changed_ids))
    return int(await conn.fetchval(Q.pass_shard, *key, *ids, person.recorded_at_us, shard))


async def take(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, request_id: bytes
) -> PersonErasure:
    """Delete and return an erasure; the accounts of a person are not stored here."""
    row = await conn.fetchrow(Q.take, workspace_id, request_id)
    if row is None:
        raise LookupError("a job that erases a person has a row")
    ids, changed_ids, recorded_at_us = row
    sets = (frozenset(ids), frozenset(changed_ids), frozenset[bytes]())
    return PersonErasure(workspace_id, request_id, *sets, recorded_at_us)


async def stop_folds(conn: asyncpg.Connection) -> None:
    """Wait for the folds of all shards, and let none begin until the transaction ends.

    The caller holds the fence of shard 0, so every transaction locks shards in ascending order.
    """
    await conn.execute(Q.stop_folds)


async def mark_caches_outdated(conn: asyncpg.Connection) -> None:
    """Make the worker of each shard empty its cache with its next fold."""
    await conn.execute(Q.mark_caches_outdated)


async def delete_rows(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, ids: Collection[bytes]
) -> DeletedRows:
    """Delete and return the rows of some identifiers; all locks are held."""

    async def run(statement: str) -> list[Any]:
        return list(await conn.fetch(statement, workspace_id, list(ids)))

    return DeletedRows(
        identifiers={
            row[0]: IdentifierRow(row[1], FirstSeen(row[2], row[3]))
            for row in await run(Q.delete_identifiers)
        },
        edges={
            Edge(row["a"], row["b"], row["kind"]): edge_row_of(row)
            for row in await run(Q.delete_edges)
        },
        decisions={
            Pair(a, b): Decision(FirstSeen(at_us, fact_id), *rest)
            for a, b, at_us, fact_id, *rest in await run(Q.delete_decisions)
        },
        matches={
            Pair(a, b): StoredMatch(FirstSeen(at_us, fact_id), message)
            for a, b, at_us, fact_id, message in await run(Q.delete_matches)
        },
    )


async def part(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, profiles: Collection[bytes], version: int
) -> list[PartedIdentifier]:
    """Make the identifiers of profiles profiles of their own; all locks are held."""
    rows = await conn.fetch(Q.part, workspace_id, list(profiles), version)
    return [
        PartedIdentifier(
            row["identifier_id"],
            row["profile_id"],
            identifier_of(row["workspace_id"], row["namespace"], row["value"]),
            FirstSeen(row["first_seen_us"], row["first_fact"]),
        )
        for row in rows
    ]


async def load_profile_ids(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, ids: Collection[bytes]
) -> set[ProfileId]:
    """Return the profiles of some identifiers."""
    rows = await conn.fetch(Q.load_profile_ids, workspace_id, list(ids))
    return {row[0] for row in rows}


async def identifiers_of(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, profile_id: ProfileId
) -> list[IdentifierId]:
    """Return the identifiers of a profile, ascending."""
    return [row[0] for row in await conn.fetch(Q.identifiers_of, workspace_id, profile_id)]


async def load_related(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, ids: Collection[bytes]
) -> list[IdentifierId]:
    """Return the identifiers of others that were named with some, ascending."""
    return [row[0] for row in await conn.fetch(Q.load_related, workspace_id, list(ids))]
