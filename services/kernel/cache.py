"""Caches a bounded number of values, with approximate LRU eviction, as long as that pays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class RecentCache(Generic[K, V]):
    """Caches at most `capacity` values (at least 2), none of them None.

    The `capacity` // 2 values that were used last are always present.
    """

    def __init__(self, capacity: int) -> None:
        # Two halves; each is filled and then dropped whole, which is cheaper than an order.
        self._half = max(1, capacity // 2)
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """Return the value of a key, which counts as a use; None if it is not cached."""
        found = self._young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        """Cache a value."""
        if len(self._young) >= self._half and key not in self._young:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the cached values of `keys`. This does not count as a use."""
        young, old = self._young, self._old
        return {
            key: found
            for key in keys
            if (found := young.get(key)) is not None or (found := old.get(key)) is not None
        }

    def update(self, values: Mapping[K, V]) -> None:
        """Cache many values."""
        if len(self._young) + len(values) <= self._half:
            self._young.update(values)  # a fifth of the cost of many puts
            return
        for key, value in values.items():
            self.put(key, value)

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())


class MemoizedFunction(Generic[K, V]):
    """Calls a pure function of one argument, and remembers its values as long as that pays.

    A value is remembered from the second call with its argument on, so arguments that never come
    back fill no memory. Where too few calls find their value, as when more arguments come in turn
    than there is room for, calls go to the function alone for `PAUSE` times `capacity` calls.
    """

    #: The least share of the calls that must find their value.
    LEAST_HITS = 0.25
    PAUSE = 16
    #: The bits of the filter of known arguments; it is cleared after an eighth as many of them.
    _BITS = 1 << 21

    def __init__(self, function: Callable[[K], V], capacity: int) -> None:
        """`function` never returns None."""
        self._function = function
        self._capacity = capacity
        self._values: RecentCache[K, V] = RecentCache(capacity)
        self._known = bytearray(self._BITS >> 3)
        self._known_count = 0
        self._last_argument: K | None = None
        self._last_value: V | None = None
        #: The calls until the memory is judged, and those until it is used again.
        self._left, self._paused, self._hits = capacity, 0, 0
        #: While the memory fills, a second call with an argument shows that it will be useful.
        self._is_filling = True

    def __call__(self, argument: K) -> V:
        """Return the value of the function. Raises what it raises, and TypeError for an argument
        that cannot be hashed."""
        if argument == self._last_argument and self._last_value is not None:
            return self._last_value
        if self._paused:
            self._paused -= 1
            found = None
        else:
            found = self._remembered(argument)
        if found is None:
            found = self._function(argument)
            if not self._paused and self._is_known(hash(argument)):
                self._hits += self._is_filling
                self._values.put(argument, found)
        self._last_argument, self._last_value = argument, found
        return found

    def __len__(self) -> int:
        return len(self._values)

    def _remembered(self, argument: K) -> V | None:
        found = self._values.get(argument)
        if found is not None:
            self._hits += 1
        self._left -= 1
        if not self._left:
            if self._hits < self.LEAST_HITS * self._capacity:
                self._paused = self.PAUSE * self._capacity
                self._values = RecentCache(self._capacity)
            self._left, self._hits, self._is_filling = self._capacity, 0, False
        return found

    def _is_known(self, number: int) -> bool:
        """Return whether there was a call with this hash before, or another one of the same bit."""
        index, bit = (number >> 3) & ((self._BITS >> 3) - 1), 1 << (number & 7)
        if self._known[index] & bit:
            return True
        self._known_count += 1
        if self._known_count > self._BITS >> 3:
            self._known, self._known_count = bytearray(self._BITS >> 3), 0
        self._known[index] |= bit
        return False
