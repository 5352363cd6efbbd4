"""Computes how long to wait before a failed operation is retried: exponentially, with jitter."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """The pauses of one retry loop.

    The pause doubles from `first_s` up to `max_s`, both in seconds, and is spread by up to
    `jitter` of itself either way, so that replicas that fail together do not retry together.
    """

    first_s: float = 0.05
    max_s: float = 2.0
    jitter: float = field(default=0.25, kw_only=True)
    #: The failures since the last success.
    failures: int = field(default=0, init=False)

    def next_s(self) -> float:
        """Count one failure and return the seconds to wait before the next attempt."""
        # The exponent is bounded, as a loop may fail for days.
        pause = min(self.max_s, self.first_s * 2.0 ** min(self.failures, 60))
        self.failures += 1
        return pause * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311 - no secret

    def reset(self) -> None:
        """Start again with the first pause, after a success."""
        self.failures = 0
