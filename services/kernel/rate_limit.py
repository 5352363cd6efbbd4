"""Limits the rate of each of many callers, with token buckets of bounded number."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from services.kernel.cache import RecentCache

K = TypeVar("K", bound=Hashable)

#: The buckets of a limiter; of more callers, those that called last have one.
DEFAULT_CAPACITY = 100_000


class RateLimit(NamedTuple):
    """A token bucket: `burst` units at once, and `per_s` units a second in the long run."""

    #: 0 = no limit.
    per_s: float
    burst: float


UNLIMITED = RateLimit(0.0, 0.0)


class RateLimiter(Generic[K]):
    """Grants each caller at most `per_s * t + burst` units in any `t` seconds.

    Of a caller only one number is stored: the time at which its bucket is full again (the generic
    cell rate algorithm). So a refill does not depend on how often the caller calls. A caller that
    is not among the last `capacity` / 2 starts with a full bucket.
    """

    def __init__(self, limit: RateLimit, capacity: int = DEFAULT_CAPACITY) -> None:
        """`limit`: with a burst above 0, unless there is no limit."""
        self.limit = limit
        self._full_at: RecentCache[K, float] = RecentCache(capacity)

    def delay(self, caller: K, cost: float, now: float) -> float:
        """Return how long a caller has to wait before it may take `cost` units; 0 = it may now.

        `now`: any clock that never goes back, seconds. infinity = the cost is above the burst.
        """
        per_s, burst = self.limit
        if not per_s or cost <= 0:
            return 0.0
        if cost > burst:
            return math.inf
        full_at = self._full_at.get(caller)
        if full_at is None or full_at <= now:
            return 0.0
        return max(0.0, full_at + cost / per_s - now - burst / per_s)

    def take(self, caller: K, cost: float, now: float) -> None:
        """Take units that `delay` has granted at `now`."""
        per_s = self.limit.per_s
        if per_s and cost > 0:
            full_at = self._full_at.get(caller)
            self._full_at.put(caller, max(now, full_at or now) + cost / per_s)

    def __len__(self) -> int:
        return len(self._full_at)
