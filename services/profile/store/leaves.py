"""Stores the states of leaves in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from typing import NamedTuple

from asyncpg import Connection

from services.chassis.postgres.database import Queries
from services.kernel.ids import LeafId, ProfileId, WorkspaceId

Q = Queries.load(__package__, "leaves.sql")


class LeafRow(NamedTuple):
    """A stored leaf."""

    leaf_id: LeafId
    workspace_id: WorkspaceId
    #: Canonical bytes of its LeafState.
    state: bytes


class ProfileLeaf(NamedTuple):
    """A leaf of a profile."""

    profile_id: ProfileId
    workspace_id: WorkspaceId
    leaf_id: LeafId
    #: Canonical bytes of its LeafState.
    state: bytes


async def load_leaves(
    conn: Connection, shard: int, leaves: Collection[LeafId]
) -> dict[LeafId, bytes]:
    """Return the states of leaves of one shard; unknown ones are left out."""
    rows = await conn.fetch(Q.load_leaves, shard, leaves)
    return {row["leaf_id"]: row["state"] for row in rows}


async def add_leaves(conn: Connection, shard: int, rows: Sequence[LeafRow]) -> None:
    """Insert new leaves."""
    if rows:
        await conn.execute(
            Q.add_leaves,
            shard,
            [row.leaf_id for row in rows],
            [row.workspace_id for row in rows],
            [row.state for row in rows],
        )


async def save_leaves(conn: Connection, shard: int, rows: Sequence[LeafRow]) -> None:
    """Update the states of existing leaves."""
    if rows:
        await conn.execute(
            Q.save_leaves, shard, [row.leaf_id for row in rows], [row.state for row in rows]
        )


async def copy_leaves(conn: Connection, shard: int, rows: Iterable[LeafRow]) -> None:
    """Insert many new leaves with COPY."""
    await conn.copy_records_to_table(
        "leaf",
        columns=("shard", "leaf_id", "workspace_id", "state"),
        records=[(shard, *row) for row in rows],
    )


async def leaf_page(
    conn: Connection, shard: int, after: bytes, workspaces: Collection[WorkspaceId], size: int
) -> list[tuple[LeafId, WorkspaceId]]:
    """Return the next leaves of a shard in some workspaces, ascending."""
    rows = await conn.fetch(Q.leaf_page, shard, after, workspaces, size)
    return [(row[0], row[1]) for row in rows]


async def leaf_states_of(
    conn: Connection, workspace_id: WorkspaceId, profiles: Collection[ProfileId]
) -> list[bytes]:
    """Return the states of all leaves of some profiles."""
    return [row[0] for row in await conn.fetch(Q.leaf_states, workspace_id, profiles)]


async def all_profile_leaves(conn: Connection, *, prefetch: int) -> AsyncIterator[ProfileLeaf]:
    """Yield the leaves of all profiles, those of one profile together. Needs a transaction."""
    async for row in conn.cursor(Q.all_profile_leaves, prefetch=prefetch):
        yield ProfileLeaf(*row)
