"""Lists destinations, and lists and counts the effects of the ledger."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from services.activation.domain.model import Destination
from services.activation.store import effects as store
from services.activation.store.destinations import load_destinations_of_workspace
from services.chassis.postgres.database import Database, acquire, transaction
from services.kernel.ids import WorkspaceId

#: The sort key before which the first page begins: (changed_at_us, effect_id).
NEWEST = (2**63 - 1, b"\xff" * 16)


async def list_destinations(database: Database, workspace_id: WorkspaceId) -> list[Destination]:
    """Return the destinations of a workspace, by id."""
    async with acquire(database.pool) as conn:
        return await load_destinations_of_workspace(conn, workspace_id)


async def list_effects(
    database: Database,
    workspace_id: WorkspaceId,
    limit: int,
    *,
    before: tuple[int, bytes] = NEWEST,
    destination_id: str = "",
    state: int = 0,
    profile_id: bytes = b"",
) -> Sequence[asyncpg.Record]:
    """Return effects, newest first, before a sort key; an empty filter matches all."""
    async with transaction(database.pool) as conn:
        await conn.execute(store.Q.plan_each_execution)
        return await conn.fetch(
            store.Q.list_effects, workspace_id, *before, destination_id, state, profile_id, limit
        )


async def count_effects(database: Database, workspace_id: WorkspaceId) -> Sequence[asyncpg.Record]:
    """Return the number of effects by destination and state."""
    async with acquire(database.pool) as conn:
        return await conn.fetch(store.Q.count_effects, workspace_id)
