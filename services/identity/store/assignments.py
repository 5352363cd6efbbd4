"""Loads the profiles of leaves, and keeps the assignments that are still to be published."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Any, NamedTuple

import asyncpg

from services.chassis.postgres.database import Queries
from services.identity.domain.rows import IdentifierAssignment
from services.identity.store.rows import columns_of, identifier_of, zip_columns
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId

Q = Queries.load(__package__, "assignments.sql")

#: Assignments of a rollout that are published with one batch: with the longest values they fit into
#: a message of 4 MiB, the default limit, beside a batch.
MAX_UNPUBLISHED = 4_000


class LeafProfiles(NamedTuple):
    """The profiles of the leaves that are stored."""

    profiles: dict[IdentifierId, ProfileId]
    #: Whether the shard has assignments to publish.
    has_unpublished: bool
    #: Whether an erasure may have deleted rows that the worker of the shard has cached.
    is_cache_outdated: bool


async def load_leaf_profiles(
    conn: asyncpg.Connection, leaves: Collection[bytes], shard: int
) -> LeafProfiles:
    """Return the profiles of leaves, and what is noted for a shard."""
    row: Any = await conn.fetchrow(Q.load_leaf_profiles, list(leaves), shard)
    profiles = dict(zip_columns(row, "ids profile_ids"))
    return LeafProfiles(profiles, row["has_unpublished"], row["is_cache_outdated"])


async def note_cache_emptied(conn: asyncpg.Connection, shard: int) -> None:
    """Save that the worker of a shard has emptied its cache."""
    await conn.execute(Q.note_cache_emptied, shard)


async def save_unpublished(
    conn: asyncpg.Connection, shard: int, assignments: Collection[IdentifierAssignment]
) -> None:
    """Save assignments to publish with the shard's next batch."""
    rows = []
    for one in assignments:
        workspace_id, identifier = one.identifier
        key = (one.version, one.identifier_id, workspace_id, *(identifier or (None, None)))
        rows.append((*key, one.profile_id, one.before))
    await conn.execute(Q.save_unpublished, shard, *columns_of(rows, 7))


async def take_unpublished(conn: asyncpg.Connection, shard: int) -> list[IdentifierAssignment]:
    """Delete and return the oldest MAX_UNPUBLISHED assignments that a shard has to publish."""
    return [
        IdentifierAssignment(
            row["identifier_id"],
            row["profile_id"],
            row["version"],
            identifier_of(row["workspace_id"], row["namespace"], row["value"]),
            row["before_profile_id"],
        )
        for row in await conn.fetch(Q.take_unpublished, shard, MAX_UNPUBLISHED)
    ]


async def has_unpublished(conn: asyncpg.Connection, workspace_id: WorkspaceId) -> bool:
    """Return whether a workspace has assignments that are not published."""
    return bool(await conn.fetchval(Q.has_unpublished, workspace_id))


async def read_assignments(
    conn: asyncpg.Connection, *, prefetch: int
) -> AsyncIterator[IdentifierAssignment]:
    """Yield the profile of every identifier; inside a transaction."""
    async for row in conn.cursor(Q.read_assignments, prefetch=prefetch):
        workspace, id_, profile, version, namespace, value = row
        yield IdentifierAssignment(
            id_, profile, version, identifier_of(workspace, namespace, value)
        )
