"""Counts attempts at deliveries, and measures them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from services.activation.domain.channels import name_of
from services.activation.domain.model import Destination
from services.activation.domain.transitions import AttemptResult
from services.chassis.runtime.declared_latency import DeclaredLatency
from services.chassis.runtime.telemetry import Metrics

#: The default of the setting.
SENT_WITHIN_S: Final = 5.0


class DeliveryMetrics:
    """Counts attempts by channel and result, measures their duration, and how soon changes of
    memberships reach their receivers."""

    def __init__(self, metrics: Metrics, sent_within_s: float = SENT_WITHIN_S) -> None:
        self.sent = DeclaredLatency(
            metrics,
            "changes_sent",
            "from recording an event, or the instant of a change by time, to the answer of the"
            " receiver of the change",
            sent_within_s,
        )
        attempts = metrics.counter(
            "attempts", "Attempts at deliveries, by channel and result.", ["channel", "result"]
        )
        durations = metrics.histogram(
            "attempt_duration_seconds", "Duration of an attempt, by channel.", ["channel"]
        )
        # Cached, as every attempt needs two.
        self._attempts = lru_cache(maxsize=None)(attempts.labels)
        self._durations = lru_cache(maxsize=None)(durations.labels)

    def count_attempt(
        self, destination: Destination, result: AttemptResult | None, seconds: float
    ) -> None:
        """Count one attempt; without a result it was cancelled."""
        channel = name_of(destination.channel)
        self._attempts(channel, result.status.value if result else "cancelled").inc()
        self._durations(channel).observe(seconds)

    def count_writes(
        self, destination: Destination, results: Sequence[AttemptResult], seconds: float
    ) -> None:
        """Count the entries of a mirror that were written together."""
        channel = name_of(destination.channel)
        for result in results:
            self._attempts(channel, result.status.value).inc()
        self._durations(channel).observe(seconds)
