"""Tests what is measured against a declared limit, with a controlled clock."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from services.chassis.runtime.declared_latency import DeclaredLatency
from services.chassis.runtime.telemetry import Metrics

LIMIT_S = 2.0


def test_what_takes_longer_than_the_limit_is_counted_and_shown() -> None:
    metrics = Metrics("activation")
    registry: CollectorRegistry = metrics.registry
    latency = DeclaredLatency(metrics, "changes_sent", "from here to there", LIMIT_S, lambda: 100.0)
    latency.measure([97_900_000, 98_000_000, 99_500_000])
    # One that is ahead of this machine's clock, as in a demo.
    latency.measure([5_000_000_000])
    latency.measure([])
    assert latency.counts() == {"changes_sent": 4, "changes_sent_late": 1}

    def value(name: str) -> float | None:
        return registry.get_sample_value(f"onefold_activation_changes_sent_{name}")

    assert value("late_total") == 1
    assert value("seconds_count") == 3
    assert value("seconds_sum") == pytest.approx(4.6)
    assert value("within_seconds") == LIMIT_S
