"""Counts events and rejections by endpoint, and measures the event log."""

from __future__ import annotations

from functools import lru_cache

from services.chassis.runtime.telemetry import SIZES, Metrics
from services.ingest.domain.events import IngestResult


class IngestMetrics:
    """The metrics of one replica of ingest."""

    def __init__(self, metrics: Metrics) -> None:
        self._events = metrics.counter(
            "events", "Events, by endpoint and result.", ["endpoint", "result"]
        )
        self._rejections = metrics.rejections
        self._unusable_identifiers = metrics.counter(
            "unusable_identifiers",
            "Identifiers of accepted events that identify no one, by endpoint.",
            ["endpoint"],
        )
        self.quarantine_refused = metrics.counter(
            "quarantine_refused", "Refused events that the quota of their source had no room for."
        )
        self.quarantine_expired = metrics.counter(
            "quarantine_expired", "Events that were deleted from quarantine, as they were too old."
        )
        self.appended_rows = metrics.counter(
            "appended_rows", "Rows appended to the log; a broadcast fact is one row a shard."
        )
        self.group_size = metrics.histogram(
            "group_commit_size_facts", "Rows in one group commit.", buckets=SIZES
        )
        self.group_duration = metrics.histogram(
            "group_commit_duration_seconds", "Duration of a group commit."
        )
        self.head_offset = metrics.gauge(
            "log_head_offset", "End of the shard, as far as this replica knows.", ["shard"]
        )
        self.relay_offset = metrics.gauge(
            "relay_offset",
            "End of what NATS has of the shard; 0 where another replica relays it.",
            ["shard"],
        )

        #: By endpoint and result, as a lookup of labels costs more than counting.
        self._events_of = lru_cache(maxsize=64)(self._events.labels)

    def count(self, endpoint: str, result: IngestResult) -> None:
        """Count the events of a batch."""
        if result.accepted:
            self._events_of(endpoint, "accepted").inc(result.accepted)
        if result.duplicates:
            self._events_of(endpoint, "duplicate").inc(result.duplicates)
        if result.unusable_identifiers:
            self._unusable_identifiers.labels(endpoint).inc(result.unusable_identifiers)
        for rejection in result.rejections:
            self.count_rejection(endpoint, rejection.refusal.reason)

    def count_failed_call(self, reason: str) -> None:
        """Count a call that failed as a whole."""
        self._rejections.labels(reason).inc()

    def count_rejection(self, endpoint: str, reason: str) -> None:
        """Count a rejected event, or a rejected body as one event."""
        self._events.labels(endpoint, "rejected").inc()
        self._rejections.labels(reason).inc()
