"""Passes the pages of the log that a rebuild reads on to services that rebuild at the same time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

from onefold.log.v1.log_pb2 import FactBatch

#: Seconds that a rebuild and a follower wait for each other.
WAIT_S = 30.0
#: Pages that a follower may be behind the rebuild.
MAX_PAGES = 4

#: A serialised FactBatch.
Page: TypeAlias = bytes
#: Passes a page on.
SharePage: TypeAlias = Callable[[FactBatch], Awaitable[None]]


class _Follower:
    """The pages on their way to one follower."""

    def __init__(self) -> None:
        self._pages: deque[Page] = deque()
        self._changed = asyncio.Condition()
        self._is_closed = False
        self.taken = asyncio.Event()

    async def put(self, page: Page) -> None:
        """Wait until there is room for a page; drop it where the follower has gone."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._pages) < MAX_PAGES or self._is_closed)
            if not self._is_closed:
                self._pages.append(page)
            self._changed.notify_all()

    async def get(self) -> Page | None:
        """Return the next page; None where there are no more."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._pages or self._is_closed)
            self._changed.notify_all()
            return self._pages.popleft() if self._pages else None

    async def close(self) -> None:
        """End the pages, from either side."""
        async with self._changed:
            self._is_closed = True
            self._changed.notify_all()


class PageShare:
    """Lets other services read the log once, together with a rebuild of this one."""

    def __init__(self, wait_s: float = WAIT_S) -> None:
        self._wait_s = wait_s
        self._waiting: list[_Follower] = []
        self._arrived = asyncio.Event()

    async def follow(self) -> AsyncGenerator[Page]:
        """Yield the pages that the next rebuild reads, those of each shard in order.

        There are none where no rebuild begins soon, and fewer where the rebuild ends early.
        """
        follower = _Follower()
        self._waiting.append(follower)
        self._arrived.set()
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(follower.taken.wait(), self._wait_s)
            while follower.taken.is_set() and (page := await follower.get()) is not None:
                yield page
        finally:
            if follower in self._waiting:
                self._waiting.remove(follower)
            await follower.close()

    @asynccontextmanager
    async def sharing(self) -> AsyncIterator[SharePage]:
        """Wait for followers, and yield a coroutine function that passes a page on to them."""
        self._arrived.clear()
        if not self._waiting:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), self._wait_s)
        followers, self._waiting = self._waiting, []
        for follower in followers:
            follower.taken.set()
        try:
            yield lambda batch: _put_all(followers, batch)
        finally:
            for follower in followers:
                await follower.close()


async def _put_all(followers: Sequence[_Follower], batch: FactBatch) -> None:
    if followers:
        page = batch.SerializeToString()
        for follower in followers:
            await follower.put(page)
