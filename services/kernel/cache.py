"""What was used last, by key: no more than so much of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class RecentCache(Generic[K, V]):
    """At most `most` values (2 at the least), none of them None; about the oldest leave first.

    The last `most` // 2 that were used are always there.
    """

    def __init__(self, most: int) -> None:
        # Two halves, each filled and then dropped whole: cheaper than keeping an order.
        self._half = max(1, most // 2)
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """The value of a key that is remembered."""
        found = self._young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        """Remember a value."""
        if len(self._young) >= self._half and key not in self._young:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """The values of those of `keys` that are remembered. To look is not to use them."""
        young, old = self._young, self._old
        return {
            key: found
            for key in keys
            if (found := young.get(key)) is not None or (found := old.get(key)) is not None
        }

    def update(self, values: Mapping[K, V]) -> None:
        """Remember many values."""
        if len(self._young) + len(values) <= self._half:
            self._young.update(values)  # all at once costs a fifth
            return
        for key, value in values.items():
            self.put(key, value)

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())
