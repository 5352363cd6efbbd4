"""Caches a bounded number of values, with approximate LRU eviction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
