"""Keeps the newest rows of every shard in memory, and notifies the relay of new ones."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from operator import attrgetter

from services.ingest.domain.facts import FactRow
from services.kernel.tokens import Token

_OFFSET = attrgetter("offset")
#: The size of a row beside its payload, bytes.
_ROW_OVERHEAD = 400


class ShardRecent:
    """The newest rows of one shard that this process has appended: at most `limit` bytes.

    Where other processes have appended in between, there is a gap.
    """

    def __init__(self, limit: int) -> None:
        #: The offset after the newest committed row that this process has seen.
        self.end = 0
        #: The offset after the newest row that this process has appended.
        self.appended = 0
        self._limit = limit
        #: By their offsets.
        self._rows: list[FactRow] = []
        #: The numbers of rows that were added together, with their bytes; the oldest first.
        self._parts: deque[tuple[int, int]] = deque()
        self._size = 0
        self._changed: asyncio.Event = asyncio.Event()

    def add(self, rows: Sequence[FactRow]) -> None:
        """Add the rows of this process's next commit (at least one, contiguous)."""
        self._rows.extend(rows)
        self._parts.append((len(rows), _size_of(rows)))
        self._size += self._parts[-1][1]
        self.appended = rows[-1].offset + 1
        self.end = max(self.end, self.appended)
        dropped = 0
        while self._size > self._limit:
            count, size = self._parts.popleft()
            dropped += count
            self._size -= size
        del self._rows[:dropped]
        self.notify()

    def observe_end(self, end: int) -> None:
        """Record the end of the shard as read from the table."""
        self.end = max(self.end, end)

    def reset(self, end: int) -> None:
        """Forget the rows, and take this end even where it lies before the one known so far."""
        self._rows = []
        self._parts.clear()
        self._size = 0
        self.end = self.appended = end
        self.notify()

    def notify(self) -> None:
        """Wake all that wait."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self) -> None:
        """Return at the next rows."""
        await self._changed.wait()

    def read(self, first: int, limit: int) -> list[FactRow]:
        """Return at most `limit` contiguous rows, which begin at an offset or after it.

        [] where there are none in memory.
        """
        start = bisect_left(self._rows, first, key=_OFFSET)
        rows = self._rows[start : start + limit]
        if rows and rows[-1].offset - rows[0].offset >= len(rows):
            begins = rows[0].offset
            size = bisect_left(range(len(rows)), True, key=lambda n: rows[n].offset - begins > n)
            del rows[size:]
        return rows


def _size_of(rows: Sequence[FactRow]) -> int:
    return sum([len(row.payload) for row in rows]) + len(rows) * _ROW_OVERHEAD


class RecentFacts:
    """The newest rows of all shards; `limit`: bytes in total."""

    def __init__(self, shards: int, *, limit: int = 32 << 20) -> None:
        self.shards = tuple(ShardRecent(limit // shards) for _ in range(shards))

    def add(self, rows: Iterable[FactRow]) -> None:
        """Add what this process has committed, in the order of its commits."""
        by_shard: dict[int, list[FactRow]] = defaultdict(list)
        for row in rows:
            by_shard[row.shard].append(row)
        for shard, added in by_shard.items():
            self.shards[shard].add(added)

    def observe_ends(self, ends: Token) -> None:
        """Record the ends of the shards as read from the table."""
        for recent, end in zip(self.shards, ends.offsets, strict=True):
            recent.observe_end(end)

    def reset(self, ends: Token) -> None:
        """Forget all rows: the ends were read from a database that may have gone back."""
        for recent, end in zip(self.shards, ends.offsets, strict=True):
            recent.reset(end)
