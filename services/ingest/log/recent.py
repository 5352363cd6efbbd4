"""The newest rows of every shard, kept in memory, and the bell that rings when there are more."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence

from services.ingest.domain.facts import Row
from services.kernel.tokens import Token

#: What a row weighs beside its payload, bytes.
_ROW_WEIGHT = 400


class ShardTail:
    """The newest rows of one shard: contiguous, committed, and no more than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        #: The offset after the newest row that is known to be committed, by whomever.
        self.end = 0
        self._limit = limit
        self._rows: list[Row] = []
        self._weight = 0
        self._bell: asyncio.Event = asyncio.Event()

    def add(self, rows: Sequence[Row]) -> None:
        """Takes in the next committed rows of this process (at least one, contiguous)."""
        first = rows[0].offset
        if first < self.end:  # the table was asked between the commit and now
            rows = rows[self.end - first :]
        elif first > self.end:  # others have appended in between: those rows are not here
            self._clear()
        if rows:
            self._rows.extend(rows)
            self._weight += _weight(rows)
            self.end = rows[-1].offset + 1
            while self._weight > self._limit:
                self._forget_older_half()
        self.ring()

    def learn_end(self, end: int) -> None:
        """Takes in that the shard ends there, as read from the table."""
        if end > self.end:
            self._clear()
            self.end = end
            self.ring()

    def ring(self) -> None:
        """Wakes those who wait for more."""
        self._bell.set()
        self._bell = asyncio.Event()

    async def ring_heard(self) -> None:
        """Returns at the next ring."""
        await self._bell.wait()

    def take(self, first: int, most: int) -> list[Row]:
        """At most `most` rows from an offset on; [] where they are not in memory."""
        start = first - (self.end - len(self._rows))
        return self._rows[start : start + most] if start >= 0 else []

    def _clear(self) -> None:
        self._rows = []
        self._weight = 0

    def _forget_older_half(self) -> None:
        self._rows = self._rows[(len(self._rows) + 1) // 2 :]
        self._weight = _weight(self._rows)


def _weight(rows: Sequence[Row]) -> int:
    return sum([len(row.payload) for row in rows]) + len(rows) * _ROW_WEIGHT


class Tail:
    """The tails of all shards."""

    def __init__(self, shards: int, *, limit: int = 32 << 20) -> None:
        self.shards = tuple(ShardTail(limit // shards) for _ in range(shards))
        #: When the newest row of this process was recorded, Unix microseconds; 0 = none was.
        self.newest_us = 0
        #: Set while somebody waits.
        self.awaited = asyncio.Event()
        self._waiting = 0

    def add(self, rows: Iterable[Row]) -> None:
        """Takes in what this process has committed, in the order of its commits."""
        by_shard: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            by_shard[row.shard].append(row)
        for shard, added in by_shard.items():
            self.newest_us = added[-1].recorded_at_us
            self.shards[shard].add(added)

    def learn(self, ends: Token) -> None:
        """Takes in where the shards end, as read from the table."""
        for tail, end in zip(self.shards, ends.offsets, strict=True):
            tail.learn_end(end)

    async def wait_beyond(self, shard: int, offset: int) -> None:
        """Returns when a shard is known to reach beyond an offset."""
        tail = self.shards[shard]
        self._waiting += 1
        self.awaited.set()
        try:
            while tail.end <= offset:
                await tail.ring_heard()
        finally:
            self._waiting -= 1
            if not self._waiting:
                self.awaited.clear()
