"""Series: what is kept of the events that a predicate asks about.

Both kinds are commutative monoids. Whatever the order and grouping of `add` and `join`, the same
multiset of events gives the same fields, and so the same bytes.

Times are Unix microseconds, kept as packed little-endian 64-bit integers.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right, insort
from collections.abc import Iterator
from hashlib import blake2b
from struct import Struct
from typing import Any

import msgspec

from services.kernel.rules.values import scalar_key
from services.kernel.time import DAY_US

#: How many newest timestamps (or values) are kept exactly.
EXACT_LIMIT = 1_000
#: Longer values are kept as a hash.
MAX_KEY_LENGTH = 64

_TIME = Struct("<q")
if sys.byteorder != "little":  # pragma: no cover - packed times are read in place
    raise ImportError("onefold needs a little-endian machine")


class CountAccumulator(msgspec.Struct, array_like=True, gc=False, tag=0):
    """The occurred_at of matching events: the newest KEPT exactly, older ones counted by UTC day.

    A window whose old edge lies in the exact part is counted exactly. Further back, an event counts
    as one of the last microsecond of its day (though never later than the oldest exact one): it
    leaves the window at most one day late, never early.
    """

    #: Ascending, 8 bytes each.
    times: bytes = b""
    #: Day since 1970 -> number of older events; ascending.
    days: dict[int, int] = {}

    def add(self, at_us: int) -> None:
        """Take in one event."""
        times = self.times
        if not times or at_us >= _TIME.unpack_from(times, len(times) - 8)[0]:
            self.times = times + _TIME.pack(at_us)
        else:
            numbers = array("q", times)
            insort(numbers, at_us)
            self.times = numbers.tobytes()
        if len(self.times) > 8 * EXACT_LIMIT:
            self._bucket_oldest(1)

    def combine(self, other: CountAccumulator) -> CountAccumulator:
        """The series of both sets of events; neither is changed."""
        numbers = sorted(array("q", self.times + other.times))
        joined = CountAccumulator(array("q", numbers).tobytes(), dict(self.days))
        for day, count in other.days.items():
            joined.days[day] = joined.days.get(day, 0) + count
        joined._bucket_oldest(max(0, len(numbers) - EXACT_LIMIT))
        joined.days = dict(sorted(joined.days.items()))
        return joined

    def total(self) -> int:
        """How many events there are."""
        return len(self.times) // 8 + (sum(self.days.values()) if self.days else 0)

    def count_after(self, edge_us: int) -> int:
        """How many are later than `edge_us`."""
        numbers = memoryview(self.times).cast("q")
        within = len(numbers) - bisect_right(numbers, edge_us)
        if within < len(numbers) or not self.days:
            return within
        return within + sum(count for at_us, count in self._older() if at_us > edge_us)

    def nth_most_recent(self, n: int) -> int:
        """The n-th newest, 1 <= n <= count()."""
        numbers = memoryview(self.times).cast("q")
        if n <= len(numbers):
            return int(numbers[-n])
        left = n - len(numbers)
        for at_us, count in self._older():
            left -= count
            if left <= 0:
                return at_us
        raise IndexError(n)

    def _older(self) -> Iterator[tuple[int, int]]:
        """When the events counted by day are taken to have been, newest first, and how many."""
        if not self.days:
            return
        (oldest,) = _TIME.unpack_from(self.times)
        for day in reversed(self.days):
            yield min((day + 1) * DAY_US - 1, oldest), self.days[day]

    def _bucket_oldest(self, surplus: int) -> None:
        """Count the oldest `surplus` exact events by day instead."""
        for at_us in array("q", self.times[: 8 * surplus]):
            day = at_us // DAY_US
            if day in self.days:
                self.days[day] += 1
            else:
                self.days = dict(sorted([*self.days.items(), (day, 1)]))
        self.times = self.times[8 * surplus :]


class DistinctAccumulator(msgspec.Struct, array_like=True, gc=False, tag=1):
    """Distinct values, each with its newest occurred_at: the KEPT newest by (time, value).

    Up to KEPT values every count is exact. Once there were more, a count that would be larger says
    KEPT, or as many of the kept values as are in the window.
    """

    #: Value (as `distinct_key` tells it) -> newest occurred_at; ascending by value.
    values: dict[str, int] = {}
    #: There were more than KEPT values.
    overflowed: bool = False

    def add(self, key: str, at_us: int) -> None:
        """Take in one event with this value."""
        seen_us = self.values.get(key)
        if seen_us is None:
            self.values = dict(sorted([*self.values.items(), (key, at_us)]))
            self._drop_oldest()
        elif at_us > seen_us:
            self.values[key] = at_us

    def combine(self, other: DistinctAccumulator) -> DistinctAccumulator:
        """The series of both sets of events; neither is changed."""
        values = dict(self.values)
        for key, at_us in other.values.items():
            values[key] = max(at_us, values.get(key, at_us))
        joined = DistinctAccumulator(
            dict(sorted(values.items())), self.overflowed or other.overflowed
        )
        joined._drop_oldest()
        return joined

    def total(self) -> int:
        """How many values there are; KEPT stands for KEPT and more."""
        return len(self.values)

    def count_after(self, edge_us: int) -> int:
        """How many were seen later than `edge_us`."""
        return sum(at_us > edge_us for at_us in self.values.values())

    def nth_most_recent(self, n: int) -> int:
        """When the n-th newest value was last seen, 1 <= n <= count()."""
        return sorted(self.values.values())[-n]

    def _drop_oldest(self) -> None:
        surplus = len(self.values) - EXACT_LIMIT
        if surplus <= 0:
            return
        self.overflowed = True
        for key in self._oldest(surplus):
            del self.values[key]

    def _oldest(self, number: int) -> list[str]:
        """The keys of the oldest values by (time, value)."""
        if number == 1:  # an event at a time; the keys ascend, so the first one is the least
            oldest_us = min(self.values.values())
            return [next(key for key, at_us in self.values.items() if at_us == oldest_us)]
        by_age = sorted((at_us, key) for key, at_us in self.values.items())
        return [key for _, key in by_age[:number]]


def distinct_key(value: Any) -> str | None:
    """The text that stands for a JSON scalar in a series: equal for equal values only.

    None for null, lists and objects, which are no values. Long texts are hashed (128 bits).
    """
    key = scalar_key(value)
    if key is None or len(key) <= MAX_KEY_LENGTH:
        return key
    return "h" + blake2b(key.encode(), digest_size=16).hexdigest()
