"""Measures attempts at deliveries."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from services.activation.domain.model import Destination
from services.activation.domain.transitions import AttemptResult
from services.chassis.runtime.telemetry import Metrics


@dataclass(slots=True)
class AttemptTimer:
    """An attempt that is being measured; without a result it was cancelled."""

    result: AttemptResult | None = None


class DeliveryMetrics:
    """Counts attempts by result, and measures their duration."""

    def __init__(self, metrics: Metrics) -> None:
        attempts = metrics.counter(
            "attempts", "Attempts at deliveries, by channel and result.", ["channel", "result"]
        )
        durations = metrics.histogram(
            "attempt_duration_seconds", "Duration of an attempt, by channel.", ["channel"]
        )
        # Cached, as every attempt needs two.
        self._attempts = lru_cache(maxsize=None)(attempts.labels)
        self._durations = lru_cache(maxsize=None)(durations.labels)

    @contextmanager
    def measure_attempt(self, destination: Destination) -> Iterator[AttemptTimer]:
        """Measure one attempt; set its result on the yielded timer."""
        channel, start = type(destination.channel).__name__.lower(), time.perf_counter()
        timer = AttemptTimer()
        try:
            yield timer
        finally:
            result = timer.result.status.value if timer.result else "cancelled"
            self._attempts(channel, result).inc()
            self._durations(channel).observe(time.perf_counter() - start)
