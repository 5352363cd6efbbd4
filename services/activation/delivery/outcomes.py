"""Tells the log how effects ended, so that the end of a delivery is a fact like any other."""

from __future__ import annotations

import asyncio

import structlog

from services.activation.codec import bus as wire
from services.activation.store import postgres as store
from services.chassis.postgres.database import Database, acquire
from services.chassis.rpc.clients import LogClient
from services.kernel.errors import RetryableError

#: Ends in one call.
PAGE = 1_000
#: Seconds between two looks.
PAUSE = 0.5
_LONGEST_PAUSE = 10.0

log = structlog.get_logger(__name__)


class Reporter:
    """Appends DeliveryEnded facts; a repeat after a crash is the same fact."""

    def __init__(self, database: Database, log_peer: LogClient, actor: str) -> None:
        self._database = database
        self._log = log_peer
        self._actor = actor

    async def run(self) -> None:
        """Report until cancelled. What goes wrong is told and tried again."""
        pause = PAUSE
        while True:
            try:
                if await self.report_once():
                    continue
                pause = PAUSE
            except RetryableError as error:
                log.warning("reports_delayed", reason=error.reason)
                pause = min(2 * pause, _LONGEST_PAUSE)
            except Exception as error:
                log.error("reports_failed", exc_info=error)
                pause = min(2 * pause, _LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def report_once(self) -> int:
        """Report one page; how many ends there were."""
        async with acquire(self._database.pool) as conn:
            rows = await conn.fetch(store.Q.unreported, PAGE)
        if not rows:
            return 0
        await self._log.append([wire.delivery_ended(row, self._actor) for row in rows])
        async with acquire(self._database.pool) as conn:
            await conn.execute(
                store.Q.mark_reported,
                [row["effect_id"] for row in rows],
                [row["shard"] for row in rows],
                [row["attempts"] for row in rows],
            )
        return len(rows)
