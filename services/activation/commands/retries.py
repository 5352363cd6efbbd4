"""Queues dead effects again."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import asyncpg

from services.activation.store import effects as store
from services.activation.store.effects import DestinationKey
from services.chassis.postgres.database import Database, transaction
from services.kernel.ids import WorkspaceId


@dataclass(frozen=True)
class RetryCommands:
    """Retries deliveries; `on_effects` is called with the destinations whose queues have grown."""

    database: Database
    on_effects: Callable[[Collection[DestinationKey]], None]

    async def retry(self, workspace_id: WorkspaceId, effect_id: bytes) -> asyncpg.Record:
        """Queue a dead effect for one more attempt; return its row. See `store.retry_dead`."""
        async with transaction(self.database.api_pool) as conn:
            row = await store.retry_dead(conn, workspace_id, effect_id)
        self.on_effects([DestinationKey(row["workspace_id"], row["destination_id"])])
        return row
