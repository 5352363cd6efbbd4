"""Stores on which day each key was last used."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from services.chassis.access.uses import KeyUse
from services.chassis.postgres.database import Queries, acquire

Q = Queries.load(__package__, "key_uses.sql")


class KeyUseStore:
    """The table `key_use`. All methods raise StoreUnavailable."""

    def __init__(self, pool: asyncpg.Pool, api_pool: asyncpg.Pool) -> None:
        """`pool` is that of the fold role, as keys of all workspaces are recorded together."""
        self._pool = pool
        self._api_pool = api_pool

    async def record(self, uses: Sequence[KeyUse]) -> None:
        """Record uses; those of unknown keys, and of earlier days, change nothing."""
        if uses:
            async with acquire(self._pool) as conn:
                rows = [(use.workspace_id, use.key_id, use.day) for use in uses]
                await conn.execute(Q.record, *map(list, zip(*rows, strict=True)))

    async def last_days(self, workspace_id: str) -> dict[str, int]:
        """Return the day of the last use of each key of a workspace that was used, by key id."""
        async with acquire(self._api_pool) as conn:
            rows = await conn.fetch(Q.last_days, workspace_id)
        return {row["key_id"]: row["last_day"] for row in rows}
