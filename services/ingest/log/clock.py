"""Estimates the log's clock, and appends ticks while nothing else is appended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from services.kernel.time import SECOND_US

if TYPE_CHECKING:
    from services.ingest.log.event_log import EventLog

log = structlog.get_logger(__name__)


#: By how much the clock of PostgreSQL may be ahead of the machine's, seconds.
MAX_AHEAD_S = 3_600.0
#: An instant is observed late by the time that its transaction took, which is no lag of the log.
_LATENCY_US = SECOND_US


class LogClock:
    """The machine's clock plus the lead that the log has over it, from the newest observation."""

    def __init__(
        self,
        machine_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        max_ahead_s: float = MAX_AHEAD_S,
    ) -> None:
        self._machine_us = machine_us
        self._max_ahead_us = int(max_ahead_s * SECOND_US)
        self._lead_us = 0

    def now_us(self) -> int:
        """Return Unix microseconds; ahead of the log's own clock at most by the machines' skew."""
        return self._machine_us() + self._lead_us

    def observe(self, instant_us: int) -> None:
        """Record that the log's clock has just reached an instant.

        Only the newest observation counts: a machine's clock that was wrong for a moment leaves no
        trace.
        """
        lead_us = instant_us - self._machine_us()
        self._lead_us = 0 if -_LATENCY_US < lead_us < 0 else lead_us

    def latest_us(self) -> int:
        """Return the latest instant that PostgreSQL's clock may show, Unix microseconds.

        A log that recorded a later one would never come back to the present.
        """
        return self._machine_us() + self._max_ahead_us


async def tick_while_idle(event_log: EventLog, *, interval_s: float) -> None:
    """Append a tick to every shard where one of them had no new fact for `interval_s`.

    Runs in every replica until it is cancelled. The first one ticks, because the check is repeated
    under the locks of the log.
    """
    interval_us = int(interval_s * SECOND_US)
    while True:
        try:
            heads = await event_log.heads()
            pause_us = heads.oldest_us + interval_us - heads.now_us
            if pause_us <= 0:
                await event_log.tick(idle_since_us=heads.now_us - interval_us)
                pause_us = interval_us
        except Exception as error:
            log.warning("tick_postponed", error=type(error).__name__)
            pause_us = SECOND_US
        await asyncio.sleep(pause_us / SECOND_US)
