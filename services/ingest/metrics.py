"""Counts events by endpoint and result, and rejections by reason."""

from __future__ import annotations

from services.chassis.runtime.telemetry import Metrics
from services.ingest.domain.events import IngestResult


class IngestMetrics:
    """The counters of all endpoints."""

    def __init__(self, metrics: Metrics) -> None:
        self._events = metrics.counter(
            "events", "Events, by endpoint and result.", ["endpoint", "result"]
        )
        self._rejections = metrics.rejections

    def count(self, endpoint: str, result: IngestResult) -> None:
        """Count the events of a batch."""
        if result.accepted:
            self._events.labels(endpoint, "accepted").inc(result.accepted)
        if result.duplicates:
            self._events.labels(endpoint, "duplicate").inc(result.duplicates)
        for rejection in result.rejections:
            self.count_rejection(endpoint, rejection.refusal.reason)

    def count_rejection(self, endpoint: str, reason: str) -> None:
        """Count a rejected event, or a rejected body as one event."""
        self._events.labels(endpoint, "rejected").inc()
        self._rejections.labels(reason).inc()
