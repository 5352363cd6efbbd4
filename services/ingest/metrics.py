"""What became of events, counted by door and outcome, and refusals by reason."""

from __future__ import annotations

from services.chassis.runtime.telemetry import Metrics
from services.ingest.commands.intake import Taken


class EventCounts:
    """The counts of all doors."""

    def __init__(self, metrics: Metrics) -> None:
        self._events = metrics.counter("events", "What became of events.", ["door", "outcome"])
        self._refused = metrics.refused

    def taken(self, door: str, taken: Taken) -> None:
        """Count a batch."""
        if taken.accepted:
            self._events.labels(door, "accepted").inc(taken.accepted)
        if taken.duplicates:
            self._events.labels(door, "duplicate").inc(taken.duplicates)
        for rejection in taken.rejections:
            self.refused(door, rejection.refusal.reason)

    def refused(self, door: str, reason: str) -> None:
        """Count an event, or what was meant to be some, that was refused."""
        self._events.labels(door, "refused").inc()
        self._refused.labels(reason).inc()
