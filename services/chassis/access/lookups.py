"""Looks up many keys with one statement, so that unknown keys cost the database next to nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

from services.kernel.cache import RecentCache
from services.kernel.errors import RateLimited

V = TypeVar("V")

#: Reads values by their keys; what does not exist is absent from the result.
LoadMany = Callable[[Sequence[bytes]], Awaitable[Mapping[bytes, V]]]

#: The most keys of one statement, and the most that wait for theirs.
MAX_BATCH, MAX_WAITING = 1_000, 5_000
#: How long lookups are collected after a statement that has found an unknown key, seconds.
_PAUSE_S = 0.02
_MAX_KNOWN = 20_000


class BatchedLookups(Generic[V]):
    """Answers concurrent lookups with one statement at a time.

    While callers send keys that do not exist, at most 1 / `pause_s` statements a second run, with
    up to MAX_BATCH keys each. A key that was found before waits for no pause.
    """

    def __init__(
        self,
        load_many: LoadMany[V],
        *,
        pause_s: float = _PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load_many = load_many
        self._pause_s = pause_s
        self._clock = clock
        #: By key, who waits for it. A caller that is cancelled leaves its key here.
        self._waiting: dict[bytes, asyncio.Future[V | None]] = {}
        self._one_at_a_time = asyncio.Lock()
        self._paused_until = float("-inf")
        #: Keys that were found.
        self._known: RecentCache[bytes, bool] = RecentCache(_MAX_KNOWN)

    async def load(self, key: bytes) -> V | None:
        """Return the value of a key; None = there is none. Raises RateLimited, StoreUnavailable."""
        if self._known.get(key):
            return self._note(await self._load_many([key])).get(key)
        future = self._waiting.get(key)
        if future is None:
            if len(self._waiting) >= MAX_WAITING:
                raise RateLimited("too many unknown keys are looked up: try again")
            future = self._waiting[key] = asyncio.get_running_loop().create_future()
        async with self._one_at_a_time:
            # An earlier holder of the lock may have looked this key up with its own.
            while not future.done():
                await asyncio.sleep(max(0.0, self._paused_until - self._clock()))
                await self._load_waiting()
        return future.result()

    async def _load_waiting(self) -> None:
        # A caller that comes during the statement gets one that begins after its call.
        batch = {key: self._waiting.pop(key) for key in list(self._waiting)[:MAX_BATCH]}
        try:
            found = self._note(await self._load_many(list(batch)))
        except asyncio.CancelledError:
            self._waiting = {**batch, **self._waiting}
            raise
        except Exception as error:
            for future in batch.values():
                future.set_exception(error)
                future.exception()  # its caller may be gone
            return
        if len(found) < len(batch):
            self._paused_until = self._clock() + self._pause_s
        for key, future in batch.items():
            future.set_result(found.get(key))

    def _note(self, found: Mapping[bytes, V]) -> Mapping[bytes, V]:
        for key in found:
            self._known.put(key, True)
        return found
