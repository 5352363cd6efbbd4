"""Limits the attempts at a destination that is down.

The attempts of an effect are bounded. If they were all made during an outage of hours, every effect
would be dead at its end. So the breaker of a destination that fails repeatedly lets one attempt
through at a time, and pauses longer and longer between them. Where the receiver does not accept the
credentials, the breaker opens at the first attempt, until the destination is defined with others.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.activation.domain.transitions import AttemptResult, AttemptStatus, RetryPolicy

#: Consecutive failures after which a destination counts as down.
FAILURE_THRESHOLD = 16
#: Seconds; the pause between two attempts at a destination that is down doubles up to this.
MAX_OPEN_S = 60.0
#: Seconds; the pauses of a destination whose credentials are not accepted double from the first.
CREDENTIALS_OPEN_S, CREDENTIALS_MAX_OPEN_S = 60.0, 3_600.0
_MAX_DOUBLINGS = 40


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """How fast attempts may be made at a destination now."""

    #: Failures since the last other result.
    failures: int = 0
    #: How often the breaker has opened since then.
    open_count: int = 0
    #: No attempt starts before this instant of the caller's clock, seconds.
    open_until: float = 0.0

    def concurrency(self, limit: int) -> int:
        """Return how many attempts may run at the same time, where `limit` may at best."""
        return limit if self.failures < FAILURE_THRESHOLD else 1

    def is_closed(self, now: float) -> bool:
        """Return whether the destination counts as up; `now` in seconds of the caller's clock."""
        return self.failures < FAILURE_THRESHOLD and now >= self.open_until

    def after_attempt(
        self, result: AttemptResult, now: float, policy: RetryPolicy
    ) -> CircuitBreaker:
        """Return the breaker after an attempt; `now` in seconds of the caller's clock.

        A receiver that demands to wait gets no attempt earlier. A receiver that rejects a message
        is up.
        """
        if result.status is AttemptStatus.CREDENTIALS:
            return self._without_credentials(now)
        if result.status not in (AttemptStatus.FAILED, AttemptStatus.LOST):
            return CircuitBreaker(open_until=self.open_until)
        failures, open_count = self.failures + 1, self.open_count
        open_until = max(self.open_until, now + min(result.retry_after, policy.max_backoff))
        # Many attempts that fail together open the breaker once; they do not add up.
        if failures >= FAILURE_THRESHOLD and now >= self.open_until:
            open_count += 1
            doublings = min(open_count - 1, _MAX_DOUBLINGS)
            pause = min(policy.initial_backoff * 2.0**doublings, MAX_OPEN_S, policy.max_backoff)
            open_until = max(open_until, now + pause)
        return CircuitBreaker(failures, open_count, open_until)

    def _without_credentials(self, now: float) -> CircuitBreaker:
        if now < self.open_until:
            return self
        doublings = min(self.open_count, _MAX_DOUBLINGS)
        pause = min(CREDENTIALS_OPEN_S * 2.0**doublings, CREDENTIALS_MAX_OPEN_S)
        return CircuitBreaker(FAILURE_THRESHOLD, self.open_count + 1, now + pause)
