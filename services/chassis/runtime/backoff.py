"""Computes how long to wait before a failed operation is retried: exponentially, with jitter."""

from __future__ import annotations

import random


class Backoff:
    """The pauses of one retry loop.

    The pause doubles from `first_s` up to `max_s`, both in seconds, and is spread by up to
    `jitter` of itself either way, so that replicas that fail together do not retry together.
    """

    __slots__ = ("_failures", "first_s", "jitter", "max_s")

    def __init__(self, first_s: float = 0.05, max_s: float = 2.0, *, jitter: float = 0.25) -> None:
        self.first_s = first_s
        self.max_s = max_s
        self.jitter = jitter
        self._failures = 0

    @property
    def failures(self) -> int:
        """The failures since the last success."""
        return self._failures

    def next_s(self) -> float:
        """Count one failure and return the seconds to wait before the next attempt."""
        # The exponent is bounded, as a loop may fail for days.
        pause = min(self.max_s, self.first_s * 2.0 ** min(self._failures, 60))
        self._failures += 1
        return pause * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311 - no secret

    def reset(self) -> None:
        """Start again with the first pause, after a success."""
        self._failures = 0
