"""Stores destinations, one copy for each shard."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

import asyncpg

from services.activation.codec.definitions import decode_destination
from services.activation.domain.model import Destination
from services.chassis.postgres.database import Queries
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId

Q = Queries.load(__package__, "destinations.sql")


async def load_destinations(
    conn: asyncpg.Connection, workspace_id: WorkspaceId | None = None
) -> list[Destination]:
    """Return the destinations of one workspace, or of all, in their newest versions, by id."""
    if workspace_id is None:
        return _decodable(await conn.fetch(Q.load_destinations))
    return _decodable(await conn.fetch(Q.load_destinations_of_workspace, workspace_id))


async def load_destinations_of_shard(
    conn: asyncpg.Connection, shard: int, workspaces: Collection[str]
) -> list[Destination]:
    """Return the destinations of these workspaces as defined on one shard."""
    return _decodable(await conn.fetch(Q.load_destinations_of_shard, shard, sorted(workspaces)))


async def save_destination(
    conn: asyncpg.Connection, shard: int, destination: Destination, payload: bytes
) -> None:
    """Save a version unless the shard has a newer one."""
    await conn.execute(
        Q.save_destination,
        shard,
        destination.workspace_id,
        destination.destination_id,
        destination.version,
        payload,
    )


def _decodable(rows: Sequence[Any]) -> list[Destination]:
    """Return the rows that can be decoded; a malformed one must not block the others."""
    destinations: list[Destination] = []
    for row in rows:
        with suppress(InvalidField):
            destinations.append(decode_destination(row["workspace_id"], row["payload"]))
    return destinations
