"""Ticks for the shards to which nothing comes, while people have to be looked at anew.

People are looked at with what comes, some at a time. Where little comes, the log's clock is made to
tick: that comes to every shard.
"""

from __future__ import annotations

import asyncio

import structlog

from services.chassis.rpc.clients import LogClient
from services.kernel.errors import OnefoldError

log = structlog.get_logger(__name__)

#: Seconds between two ticks, and after one that was refused.
BEAT, PAUSE = 0.1, 2.0


class Metronome:
    """Ticks once for all who asked since the last tick."""

    def __init__(self, peer: LogClient) -> None:
        self._log = peer
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Have the clock tick soon."""
        self._asked.set()

    async def run(self) -> None:
        """Ticks when asked, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                await self._log.tick()
            except OnefoldError as error:
                log.info("tick_refused", error=type(error).__name__)
                self._asked.set()
                await asyncio.sleep(PAUSE)
            else:
                await asyncio.sleep(BEAT)
