"""The ticker: where nothing else happens, the log hears that time passes."""

from __future__ import annotations

import asyncio

import structlog

from services.ingest.log.event_log import EventLog
from services.kernel.errors import StoreUnavailable
from services.kernel.time import SECOND_US

log = structlog.get_logger(__name__)

_PAUSE_S = 1.0


class Ticker:
    """Appends a tick to every shard where one of them has heard nothing for `interval_s`.

    Runs in every replica; whoever comes first ticks, for whether it is quiet is asked again under
    the locks of the log.
    """

    def __init__(self, event_log: EventLog, *, interval_s: float) -> None:
        self._log = event_log
        self._interval_us = int(interval_s * SECOND_US)

    async def run(self) -> None:
        """Ticks until cancelled."""
        while True:
            try:
                pause = await self._tick_if_due()
            except StoreUnavailable:
                log.warning("tick_missed")
                pause = _PAUSE_S
            await asyncio.sleep(pause)

    async def _tick_if_due(self) -> float:
        """Seconds until it may be due again."""
        heads = await self._log.heads()
        early_us = heads.oldest_us + self._interval_us - heads.now_us
        if early_us > 0:
            return early_us / SECOND_US
        await self._log.tick_if_quiet(heads.now_us - self._interval_us)
        return self._interval_us / SECOND_US
