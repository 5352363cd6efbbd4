"""A back-off grows to its cap, varies, and starts again after a success."""

from __future__ import annotations

from itertools import pairwise

import pytest

from services.chassis.runtime.backoff import Backoff


def test_backoff_without_jitter_doubles_up_to_its_maximum() -> None:
    backoff = Backoff(0.5, 3.0, jitter=0.0)
    assert [backoff.next_s() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert backoff.failures == 5


def test_backoff_after_reset_starts_again() -> None:
    backoff = Backoff(0.5, 3.0, jitter=0.0)
    backoff.next_s()
    backoff.next_s()
    backoff.reset()
    assert (backoff.failures, backoff.next_s()) == (0, 0.5)


def test_backoff_with_jitter_stays_within_its_spread() -> None:
    backoff = Backoff(1.0, 1.0, jitter=0.25)
    pauses = [backoff.next_s() for _ in range(100)]
    assert all(0.75 <= pause <= 1.25 for pause in pauses)
    assert any(a != b for a, b in pairwise(pauses))


def test_backoff_after_days_of_failures_still_returns_its_maximum() -> None:
    backoff = Backoff(0.05, 2.0, jitter=0.0)
    for _ in range(5_000):
        last = backoff.next_s()
    assert last == pytest.approx(2.0)
