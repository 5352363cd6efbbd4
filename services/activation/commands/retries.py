"""Queues dead effects again, on request."""

from __future__ import annotations

from collections.abc import Callable, Collection

import asyncpg

from services.activation.store import effects as store
from services.activation.store.effects import DestinationKey
from services.chassis.postgres.database import Database, acquire
from services.kernel.errors import NotFound, ServiceUnavailable
from services.kernel.ids import WorkspaceId


class RetryCommands:
    """Retries deliveries; `on_effects` is called with the destinations whose queues have grown."""

    def __init__(
        self, database: Database, *, on_effects: Callable[[Collection[DestinationKey]], None]
    ) -> None:
        self._database = database
        self._on_effects = on_effects

    async def retry(self, workspace_id: WorkspaceId, effect_id: bytes) -> asyncpg.Record:
        """Queue a dead effect for one more attempt; return its row. Raises NotFound.

        Raises ServiceUnavailable until the log knows that the effect is dead: otherwise the log
        would miss one of its two ends.
        """
        async with acquire(self._database.pool) as conn:
            row = await conn.fetchrow(store.Q.retry, workspace_id, effect_id)
            is_dead = row or await conn.fetchval(store.Q.is_dead, workspace_id, effect_id)
        if not is_dead:
            raise NotFound("no dead effect has this id; list those with state DEAD")
        if row is None:
            raise ServiceUnavailable("the log does not have the effect's end yet; try again")
        self._on_effects([DestinationKey(row["workspace_id"], row["destination_id"])])
        return row
