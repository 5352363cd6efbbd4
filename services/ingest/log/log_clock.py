"""The log's clock as this process knows it: the machine's, and how far the log's is ahead of it."""

from __future__ import annotations

import time
from collections.abc import Callable


class LogClock:
    """Learns how far the log's clock is ahead from every instant that the log was seen at.

    `newest_us` tells when the newest fact of this process was recorded.
    """

    def __init__(
        self,
        newest_us: Callable[[], int] = lambda: 0,
        machine_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._newest_us = newest_us
        self._machine_us = machine_us
        self._ahead_us = 0

    def now_us(self) -> int:
        """Unix microseconds; never after the log's own clock by more than the machines differ."""
        self.learn(self._newest_us())
        return self._machine_us() + self._ahead_us

    def learn(self, instant_us: int) -> None:
        """The log's clock has just stood there."""
        self._ahead_us = max(self._ahead_us, instant_us - self._machine_us())
