"""Tests how the circuit breaker limits attempts at a destination."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.activation.domain.circuit_breaker import FAILURE_THRESHOLD, MAX_OPEN_S, CircuitBreaker
from services.activation.domain.transitions import AttemptResult, AttemptStatus, RetryPolicy

POLICY = RetryPolicy()
LIMIT = 32
FAILED, DELIVERED = AttemptResult(AttemptStatus.FAILED), AttemptResult(AttemptStatus.DELIVERED)
REJECTED = AttemptResult(AttemptStatus.REJECTED)


def breaker_after(results: list[AttemptResult], now: float = 100.0) -> CircuitBreaker:
    breaker = CircuitBreaker()
    for result in results:
        breaker = breaker.after_attempt(result, now, POLICY)
    return breaker


def test_breaker_below_threshold_limits_nothing() -> None:
    breaker = breaker_after([FAILED] * (FAILURE_THRESHOLD - 1))
    assert (breaker.concurrency(LIMIT), breaker.open_until) == (LIMIT, 100.0)


def test_breaker_of_failing_destination_allows_single_attempts_with_growing_pauses() -> None:
    breaker = breaker_after([FAILED] * FAILURE_THRESHOLD)
    pauses = []
    now = 100.0
    while len(pauses) < 10:
        assert breaker.concurrency(LIMIT) == 1
        pauses.append(breaker.open_until - now)
        now = breaker.open_until
        breaker = breaker.after_attempt(FAILED, now, POLICY)
    assert pauses == [1, 2, 4, 8, 16, 32, MAX_OPEN_S, MAX_OPEN_S, MAX_OPEN_S, MAX_OPEN_S]


def test_breaker_opens_once_for_attempts_that_fail_together() -> None:
    breaker = breaker_after([FAILED] * LIMIT)
    assert (breaker.open_count, breaker.open_until) == (1, 101.0)


def test_breaker_closes_after_one_response() -> None:
    assert breaker_after([FAILED] * FAILURE_THRESHOLD + [DELIVERED]).concurrency(LIMIT) == LIMIT
    assert breaker_after([FAILED] * FAILURE_THRESHOLD + [REJECTED]).concurrency(LIMIT) == LIMIT


def test_breaker_respects_retry_after() -> None:
    busy = AttemptResult(AttemptStatus.FAILED, "HTTP 429", 30.0)
    assert breaker_after([busy]).open_until == 130.0
    earlier = "the result of an attempt that started earlier does not shorten the pause"
    assert breaker_after([busy, DELIVERED]).open_until == 130.0, earlier


@given(st.lists(st.tuples(st.sampled_from([FAILED, DELIVERED, REJECTED]), st.floats(0, 1e6))))
def test_breaker_pauses_are_bounded(results: list[tuple[AttemptResult, float]]) -> None:
    breaker, now = CircuitBreaker(), 0.0
    for result, elapsed in results:
        now += elapsed
        breaker = breaker.after_attempt(result, now, POLICY)
        assert breaker.open_until <= now + max(MAX_OPEN_S, POLICY.max_backoff)
        assert breaker.concurrency(LIMIT) >= 1
