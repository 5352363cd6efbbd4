"""Accumulates the events that predicates count: their timestamps, or distinct values of a property.

Both kinds are commutative monoids. In any order and grouping of `add` and `combine`, the same
multiset of events gives the same fields, and so the same bytes.

Times are Unix microseconds, stored as packed little-endian 64-bit integers.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import accumulate, repeat
from struct import Struct
from typing import Any

import msgspec

from services.kernel.rules.values import scalar_key
from services.kernel.time import DAY_US

#: The number of most recent timestamps (or values) that are stored exactly.
EXACT_LIMIT = 1_000
#: Longer values are stored as a hash.
MAX_KEY_LENGTH = 64

_TIME = Struct("<q")
if sys.byteorder != "little":  # pragma: no cover - packed times are read in place
    raise ImportError("onefold needs a little-endian machine")


class CountAccumulator(msgspec.Struct, array_like=True, gc=False, tag=0):
    """The occurred_at of matching events: the newest `EXACT_LIMIT` exactly, older ones by UTC day.

    A window that begins within the exact part is counted exactly. An older event counts as if it
    had occurred in the last microsecond of its day, but never later than the oldest exact one: it
    leaves a window at most one day late, never early.
    """

    #: Ascending, 8 bytes each.
    times: bytes = b""
    #: Day since 1970 -> number of older events; ascending.
    days: dict[int, int] = {}
    #: The occurred_at of the oldest event of all if `days` has any; else 0.
    oldest_us: int = 0

    def add(self, occurred_at_us: int) -> None:
        """Add one event."""
        times = self.times
        if not times or occurred_at_us >= _TIME.unpack_from(times, len(times) - 8)[0]:
            self.times = times + _TIME.pack(occurred_at_us)
        else:
            numbers = array("q", times)
            insort(numbers, occurred_at_us)
            self.times = numbers.tobytes()
        if len(self.times) > 8 * EXACT_LIMIT:
            self._bucket_oldest(1)

    def combine(self, *others: CountAccumulator) -> CountAccumulator:
        """Return the accumulator of all sets of events; no operand is changed."""
        times = b"".join([self.times, *(other.times for other in others)])
        numbers = sorted(array("q", times))
        combined = CountAccumulator(array("q", numbers).tobytes(), dict(self.days))
        for other in others:
            for day, count in other.days.items():
                combined.days[day] = combined.days.get(day, 0) + count
        combined.oldest_us = min(
            (part.oldest_us for part in (self, *others) if part.days), default=0
        )
        combined._bucket_oldest(max(0, len(numbers) - EXACT_LIMIT))
        combined.days = dict(sorted(combined.days.items()))
        return combined

    def total(self) -> int:
        return len(self.times) // 8 + (sum(self.days.values()) if self.days else 0)

    def count_after(self, start_us: int) -> int:
        numbers = memoryview(self.times).cast("q")
        within = len(numbers) - bisect_right(numbers, start_us)
        if within < len(numbers) or not self.days:
            return within
        return within + sum(count for day_us, count in self._older() if day_us > start_us)

    def exact_times(self) -> Sequence[int]:
        """Return the exact times, ascending."""
        return memoryview(self.times).cast("q")

    def totals(self) -> tuple[Sequence[int], Sequence[int]]:
        """Return the times as they are counted, ascending, and the number of events before each.

        There is one time for each older day. The second sequence ends with the number of all.
        """
        numbers = memoryview(self.times).cast("q")
        if not self.days:
            return numbers, range(len(numbers) + 1)
        older = list(self._older())[::-1]
        counts = [*(count for _, count in older), *repeat(1, len(numbers))]
        return [*(at_us for at_us, _ in older), *numbers], [0, *accumulate(counts)]

    def first(self) -> int:
        """Return the occurred_at of the oldest event, exactly."""
        return self.oldest_us if self.days else int(_TIME.unpack_from(self.times)[0])

    def nth_most_recent(self, n: int) -> int:
        numbers = memoryview(self.times).cast("q")
        if n <= len(numbers):
            return int(numbers[-n])
        remaining = n - len(numbers)
        for day_us, count in self._older():
            remaining -= count
            if remaining <= 0:
                return day_us
        raise IndexError(n)

    def _older(self) -> Iterator[tuple[int, int]]:
        """Yield (time, number) of the events that are counted by day, newest first."""
        if not self.days:
            return
        (oldest,) = _TIME.unpack_from(self.times)
        for day in reversed(self.days):
            yield min((day + 1) * DAY_US - 1, oldest), self.days[day]

    def _bucket_oldest(self, surplus: int) -> None:
        """Move the oldest `surplus` exact events into the counts by day."""
        if surplus > 0:
            (at_us,) = _TIME.unpack_from(self.times)
            self.oldest_us = min(at_us, self.oldest_us) if self.days else at_us
        for occurred_at_us in array("q", self.times[: 8 * surplus]):
            day = occurred_at_us // DAY_US
            if day in self.days:
                self.days[day] += 1
            else:
                self.days = dict(sorted([*self.days.items(), (day, 1)]))
        self.times = self.times[8 * surplus :]


class DistinctAccumulator(msgspec.Struct, array_like=True, gc=False, tag=1):
    """Distinct values, each with its newest occurred_at: the `EXACT_LIMIT` newest by (time, value).

    Up to `EXACT_LIMIT` values every count is exact. After an overflow, the stored values are
    counted, so a count is at most `EXACT_LIMIT`.
    """

    #: Key of the value (see `distinct_key`) -> newest occurred_at; ascending by key.
    values: dict[str, int] = {}
    #: Whether there were more than `EXACT_LIMIT` values.
    overflowed: bool = False

    def add(self, key: str, occurred_at_us: int) -> None:
        """Add one event with the value of this key."""
        seen_us = self.values.get(key)
        if seen_us is None:
            self.values = dict(sorted([*self.values.items(), (key, occurred_at_us)]))
            self._drop_oldest()
        elif occurred_at_us > seen_us:
            self.values[key] = occurred_at_us

    def combine(self, *others: DistinctAccumulator) -> DistinctAccumulator:
        """Return the accumulator of all sets of events; no operand is changed."""
        values, overflowed = dict(self.values), self.overflowed
        for other in others:
            overflowed = overflowed or other.overflowed
            for key, seen_us in other.values.items():
                values[key] = max(seen_us, values.get(key, seen_us))
        combined = DistinctAccumulator(dict(sorted(values.items())), overflowed)
        combined._drop_oldest()
        return combined

    def total(self) -> int:
        """Return the number of values; `EXACT_LIMIT` means that many or more."""
        return len(self.values)

    def count_after(self, start_us: int) -> int:
        return sum(seen_us > start_us for seen_us in self.values.values())

    def nth_most_recent(self, n: int) -> int:
        return sorted(self.values.values())[-n]

    def _drop_oldest(self) -> None:
        surplus = len(self.values) - EXACT_LIMIT
        if surplus <= 0:
            return
        self.overflowed = True
        for key in self._oldest(surplus):
            del self.values[key]

    def _oldest(self, number: int) -> list[str]:
        """Return the keys of the oldest values by (time, key)."""
        if number == 1:  # the usual case; the keys ascend, so the first match is the least
            oldest_us = min(self.values.values())
            return [next(key for key, seen_us in self.values.items() if seen_us == oldest_us)]
        by_age = sorted((seen_us, key) for key, seen_us in self.values.items())
        return [key for _, key in by_age[:number]]


def distinct_key(value: Any) -> str | None:
    """Return a JSON scalar as text: equal for equal values only.

    None for null, lists and objects, which are no values. Long texts are hashed (128 bits).
    """
    key = scalar_key(value)
    if key is None or len(key) <= MAX_KEY_LENGTH:
        return key
    return "h" + blake2b(key.encode(), digest_size=16).hexdigest()
