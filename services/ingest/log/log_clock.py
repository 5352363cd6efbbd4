"""Estimates the log's clock: the machine's clock plus the lead that the log has over it."""

from __future__ import annotations

import time
from collections.abc import Callable


class LogClock:
    """Derives the lead from every instant of the log that it observes.

    `newest_us` returns when the newest fact of this process was recorded.
    """

    def __init__(
        self,
        newest_us: Callable[[], int] = lambda: 0,
        machine_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._newest_us = newest_us
        self._machine_us = machine_us
        self._lead_us = 0

    def now_us(self) -> int:
        """Return Unix microseconds; ahead of the log's own clock at most by the machines' skew."""
        self.observe(self._newest_us())
        return self._machine_us() + self._lead_us

    def observe(self, instant_us: int) -> None:
        """Note that the log's clock has just reached an instant."""
        self._lead_us = max(self._lead_us, instant_us - self._machine_us())
