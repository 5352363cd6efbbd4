"""Defines the metrics of the event log."""

from __future__ import annotations

from services.chassis.runtime.telemetry import SIZES, Metrics


class LogMetrics:
    """The metrics of one replica of the log."""

    def __init__(self, metrics: Metrics) -> None:
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
