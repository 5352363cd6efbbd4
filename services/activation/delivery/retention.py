"""Deletes the messages of deliveries that ended some time ago; their outcomes stay."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import structlog

from services.activation.store import effects as store
from services.activation.store.decisions import delete_old_persons
from services.chassis.postgres.database import Database, transaction
from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.repeat import repeat

#: Messages that are deleted in one transaction.
PAGE = 1_000
PERSON_AGE = timedelta(days=1)
#: Seconds between two runs.
INTERVAL_S = 60.0
#: Seconds between two pages of one run, so that deliveries are not held up.
PAUSE_S = 0.1

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class PayloadRetention:
    """Deletes the messages whose delivery ended `retention_s` seconds ago.

    And the persons that a decision has read more than a day ago; the next one reads them again.
    """

    database: Database
    retention_s: float

    async def run(self) -> None:
        """Delete until cancelled. Errors are logged and retried."""
        await repeat("retention", self._step, Backoff(1.0, INTERVAL_S))

    async def _step(self) -> None:
        deleted = await self.delete_once()
        await asyncio.sleep(PAUSE_S if deleted == PAGE else INTERVAL_S)

    async def delete_once(self) -> int:
        """Delete one page; return how many messages it had."""
        async with transaction(self.database.pool) as conn:
            await delete_old_persons(conn, PERSON_AGE, PAGE)
            return await store.delete_payloads(conn, self.retention_s, PAGE)
