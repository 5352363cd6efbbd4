"""What those who watch the service see of attempts and effects."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from services.activation.domain.model import Destination
from services.activation.domain.transitions import Outcome
from services.chassis.runtime.telemetry import Metrics


@dataclass(slots=True)
class Watched:
    """An attempt that is made; without an outcome it was cut off."""

    outcome: Outcome | None = None


class DeliveryMetrics:
    """Counts attempts by how they ended, and measures how long they took."""

    def __init__(self, metrics: Metrics) -> None:
        attempts = metrics.counter(
            "attempts", "Attempts at deliveries, by channel and verdict.", ["channel", "verdict"]
        )
        seconds = metrics.histogram(
            "attempt_seconds", "How long an attempt took, by channel.", ["channel"]
        )
        # Looked up once, as every attempt needs two.
        self._attempts = lru_cache(maxsize=None)(attempts.labels)
        self._seconds = lru_cache(maxsize=None)(seconds.labels)

    @contextmanager
    def attempt(self, destination: Destination) -> Iterator[Watched]:
        """Watch one attempt; tell its outcome to what is given."""
        channel, began = type(destination.channel).__name__.lower(), time.perf_counter()
        watched = Watched()
        try:
            yield watched
        finally:
            verdict = watched.outcome.verdict.value if watched.outcome else "cut_off"
            self._attempts(channel, verdict).inc()
            self._seconds(channel).observe(time.perf_counter() - began)
