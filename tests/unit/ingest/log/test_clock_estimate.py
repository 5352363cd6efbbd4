"""Tests the estimate of the log's clock."""

from __future__ import annotations

from services.ingest.log.clock import LogClock

SECOND = 1_000_000
HOUR = 3_600 * SECOND


class Machine:
    """A machine with a clock that tests set."""

    now_us = 100 * HOUR

    def __call__(self) -> int:
        return self.now_us


def test_clock_observes_the_lead_of_the_log() -> None:
    clock = LogClock(machine_us=lambda: 1_000)
    assert clock.now_us() == 1_000
    clock.observe(900)
    assert clock.now_us() == 1_000, "the transaction took a while"
    clock.observe(5_000)
    clock.observe(9_000)
    assert clock.now_us() == 9_000


def test_clock_of_a_machine_that_was_wrong_for_a_moment_leaves_no_lead() -> None:
    machine = Machine()
    clock = LogClock(machine_us=machine)
    machine.now_us -= HOUR
    clock.observe(100 * HOUR)
    assert clock.now_us() == 100 * HOUR
    machine.now_us += HOUR + SECOND
    clock.observe(100 * HOUR + SECOND)
    assert clock.now_us() == 100 * HOUR + SECOND


def test_clock_of_a_machine_that_is_ahead_is_that_of_the_log() -> None:
    machine = Machine()
    clock = LogClock(machine_us=machine)
    machine.now_us += HOUR
    clock.observe(100 * HOUR)
    assert clock.now_us() == 100 * HOUR


def test_latest_instant_is_a_bounded_time_ahead_of_the_machine() -> None:
    assert LogClock(machine_us=lambda: 5 * SECOND).latest_us() == 5 * SECOND + HOUR
    assert LogClock(machine_us=lambda: 0, max_ahead_s=2).latest_us() == 2 * SECOND
