"""A limiter grants what its rate and its burst allow, whatever the pattern of calls."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.rate_limit import UNLIMITED, RateLimit, RateLimiter

#: (seconds since the call before, cost) of each call.
CALLS = st.lists(
    st.tuples(st.floats(0, 20), st.floats(0, 12) | st.integers(0, 12)), min_size=1, max_size=80
)
LIMITS = st.builds(RateLimit, st.floats(0.01, 1_000), st.floats(0.1, 50))


def take_if_granted(limiter: RateLimiter[str], caller: str, cost: float, now: float) -> bool:
    granted = limiter.delay(caller, cost, now) == 0
    if granted:
        limiter.take(caller, cost, now)
    return granted


@given(LIMITS, CALLS)
def test_no_window_grants_more_than_rate_and_burst(
    limit: RateLimit, calls: list[tuple[float, float]]
) -> None:
    limiter: RateLimiter[str] = RateLimiter(limit)
    now, granted = 1_000.0, []
    for pause, cost in calls:
        now += pause
        if take_if_granted(limiter, "a", cost, now):
            granted.append((now, cost))
    for first, (start, _) in enumerate(granted):
        total = 0.0
        for end, cost in granted[first:]:
            total += cost
            most = limit.per_s * (end - start) + limit.burst
            assert total <= most * (1 + 1e-9) + limit.per_s * 1e-9


@given(LIMITS, CALLS, st.floats(0, 1))
def test_caller_that_waits_for_its_delay_is_granted(
    limit: RateLimit, calls: list[tuple[float, float]], part: float
) -> None:
    limiter: RateLimiter[str] = RateLimiter(limit)
    now = 1_000.0
    for pause, cost in calls:
        now += pause
        delay = limiter.delay("a", cost, now)
        assert (delay == math.inf) == (cost > limit.burst)
        if math.isfinite(delay):
            assert limiter.delay("a", cost, now + delay + 1e-6) == 0
            if delay * part > 1e-6:
                assert limiter.delay("a", cost, now + delay * (1 - part)) > 0
            now += delay + 1e-6
            limiter.take("a", cost, now)


@given(LIMITS, CALLS, st.integers(1, 20))
def test_refill_does_not_depend_on_refused_calls(
    limit: RateLimit, calls: list[tuple[float, float]], extra: int
) -> None:
    quiet: RateLimiter[str] = RateLimiter(limit)
    noisy: RateLimiter[str] = RateLimiter(limit)
    now = 1_000.0
    for pause, cost in calls:
        for step in range(extra):
            noisy.delay("a", limit.burst, now + pause * step / extra)
        now += pause
        assert take_if_granted(quiet, "a", cost, now) == take_if_granted(noisy, "a", cost, now)


def test_idle_caller_has_its_whole_burst_and_no_more() -> None:
    limiter: RateLimiter[str] = RateLimiter(RateLimit(10, 30))
    for now in (0.0, 1e6):
        assert [take_if_granted(limiter, "a", 10, now) for _ in range(4)] == [True] * 3 + [False]


def test_callers_have_buckets_of_their_own() -> None:
    limiter: RateLimiter[str] = RateLimiter(RateLimit(1, 1))
    assert take_if_granted(limiter, "a", 1, 0)
    assert not take_if_granted(limiter, "a", 1, 0)
    assert take_if_granted(limiter, "b", 1, 0)


def test_number_of_buckets_is_bounded_and_recent_callers_have_theirs() -> None:
    limiter: RateLimiter[int] = RateLimiter(RateLimit(0.001, 1), capacity=100)
    for caller in range(10_000):
        limiter.take(caller, 1, 0)
    assert len(limiter) <= 100
    assert all(limiter.delay(caller, 1, 0) for caller in range(9_950, 10_000))


@pytest.mark.parametrize("cost", [0, 1, 1e12])
def test_limiter_without_a_limit_grants_everything(cost: float) -> None:
    limiter: RateLimiter[str] = RateLimiter(UNLIMITED)
    limiter.take("a", cost, 0)
    assert limiter.delay("a", cost, 0) == 0
    assert len(limiter) == 0
