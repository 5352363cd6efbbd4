"""Tells the log how effects ended, so that the end of a delivery is a fact like any other."""

from __future__ import annotations

import asyncio

import structlog

from services.activation import store, wire
from services.chassis.database import Database, transaction
from services.chassis.peers import LogPeer
from services.kernel.errors import Unavailable

PAGE = 500
PAUSE = 0.5

log = structlog.get_logger(__name__)


class Reporter:
    """Appends DeliveryEnded facts; a repeat after a crash is the same fact."""

    def __init__(self, database: Database, log_peer: LogPeer, actor: str) -> None:
        self._database = database
        self._log = log_peer
        self._actor = actor

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            try:
                if await self.report_once():
                    continue
            except Unavailable as error:
                log.warning("reports_delayed", reason=error.reason)
            await asyncio.sleep(PAUSE)

    async def report_once(self) -> int:
        """Report one page; how many ends there were."""
        async with transaction(self._database.pool) as conn:
            rows = await conn.fetch(store.Q.unreported, PAGE)
        if not rows:
            return 0
        await self._log.append([wire.delivery_ended(row, self._actor) for row in rows])
        async with transaction(self._database.pool) as conn:
            ids, shards = [r["effect_id"] for r in rows], [r["shard"] for r in rows]
            await conn.execute(store.Q.mark_reported, ids, shards)
        return len(rows)
