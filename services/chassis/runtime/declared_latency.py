"""Measures how long something takes from the log on, and counts what exceeds a declared limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from services.chassis.runtime.telemetry import Metrics


class DeclaredLatency:
    """The seconds from recording something in the log to what follows of it."""

    def __init__(
        self,
        metrics: Metrics,
        name: str,
        meaning: str,
        limit_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`name`: of what is measured, in the plural, with underscores. `meaning`: from what on to
        what it is measured. `limit_s`: the declared limit. `clock`: seconds since 1970."""
        self._name = name
        self._limit_us = int(limit_s * 1e6)
        self._clock = clock
        self._count = self._late = 0
        self._seconds = metrics.histogram(f"{name}_seconds", f"{meaning}.")
        self._late_total = metrics.counter(
            f"{name}_late", f"Those that took longer than the declared limit: {meaning}."
        )
        metrics.gauge(f"{name}_within_seconds", f"The declared limit: {meaning}.").set(limit_s)

    def measure(self, recorded_us: Iterable[int]) -> None:
        """Measure what has just followed of something that the log recorded at these instants.

        Unix microseconds of the log's clock. One that is ahead of this machine's makes nothing
        late.
        """
        now_us = int(self._clock() * 1e6)
        for at_us in recorded_us:
            self._count += 1
            if at_us <= now_us:
                self._seconds.observe((now_us - at_us) / 1e6)
            if now_us - at_us > self._limit_us:
                self._late += 1
                self._late_total.inc()

    def counts(self) -> dict[str, int]:
        """Return how many this process has measured, and how many of them were too late."""
        return {self._name: self._count, f"{self._name}_late": self._late}
