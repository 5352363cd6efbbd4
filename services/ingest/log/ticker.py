"""Appends clock ticks while nothing else is appended, so that time passes in every shard."""

from __future__ import annotations

import asyncio

import structlog

from services.ingest.log.event_log import EventLog
from services.kernel.errors import StoreUnavailable
from services.kernel.time import SECOND_US

log = structlog.get_logger(__name__)

_RETRY_S = 1.0


class Ticker:
    """Appends a tick to every shard where one of them had no new fact for `interval_s`.

    Runs in every replica. The first one ticks, because the check is repeated under the locks of
    the log.
    """

    def __init__(self, event_log: EventLog, *, interval_s: float) -> None:
        self._log = event_log
        self._interval_us = int(interval_s * SECOND_US)

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            try:
                pause_s = await self._tick_if_due()
            except StoreUnavailable:
                log.warning("tick_postponed")
                pause_s = _RETRY_S
            await asyncio.sleep(pause_s)

    async def _tick_if_due(self) -> float:
        """Return the seconds until the next tick may be due."""
        heads = await self._log.heads()
        remaining_us = heads.oldest_us + self._interval_us - heads.now_us
        if remaining_us > 0:
            return remaining_us / SECOND_US
        await self._log.tick_if_idle(heads.now_us - self._interval_us)
        return self._interval_us / SECOND_US
