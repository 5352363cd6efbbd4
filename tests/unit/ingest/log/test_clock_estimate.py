"""Tests the estimate of the log's clock."""

from __future__ import annotations

from services.ingest.log.clock import LogClock


def test_clock_observes_the_lead_of_the_log() -> None:
    clock = LogClock(machine_us=lambda: 1_000)
    assert clock.now_us() == 1_000
    clock.observe(900)
    assert clock.now_us() == 1_000
    clock.observe(9_000)
    clock.observe(5_000)
    assert clock.now_us() == 9_000
