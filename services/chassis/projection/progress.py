"""Tracks how far a service has folded the log, and wakes callers that wait for a token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

from services.chassis.projection.checkpoint import Checkpoint, token_of
from services.kernel.errors import InvalidField, TokenNotReached
from services.kernel.tokens import Token

#: Seconds between two loads of the checkpoints while a caller waits for another replica.
REFRESH_S = 0.02


class ProgressTracker:
    """The offsets reached, by shard: the workers here report theirs, the store has the others.

    They may go back, with a database that is restored or fails over.
    `load` loads the checkpoints of all shards; `leased` returns the shards that are worked here.
    """

    def __init__(
        self,
        shards: int,
        load: Callable[[], Awaitable[list[Checkpoint]]],
        leased: Callable[[], Collection[int]],
    ) -> None:
        self._shards = shards
        self._load = load
        self._leased = leased
        self._reached = Token()
        #: Set and replaced at every change.
        self._changed = asyncio.Event()
        #: The tokens that callers wait for now.
        self._awaited: list[Token] = []
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshed_at = 0.0
        #: Why the store could not be read the last time.
        self._error: Exception | None = None

    def advance(self, shard: int, log_offset: int) -> None:
        """Record how far a worker here has come."""
        self._reached = self._replaced({shard: log_offset})
        self._notify()

    async def refresh(self) -> Token:
        """Load the offsets of all shards. Raises StoreUnavailable."""
        loaded = token_of(await self._load())
        # A worker here knows better: its commit may be newer than what was just loaded.
        here = set(self._leased())
        self._reached = self._replaced(
            {
                shard: max(offset, self._reached.offset(shard)) if shard in here else offset
                for shard, offset in enumerate(loaded.offsets)
            }
        )
        return self._reached

    def _replaced(self, offsets: Mapping[int, int]) -> Token:
        before = dict(enumerate(self._reached.offsets))
        return Token.from_offsets(before | dict(offsets))

    async def wait_for(self, token: Token, timeout: float) -> Token:
        """Wait until `token` is reached. See `ProjectionRunner.wait_for`."""
        if len(token.offsets) > self._shards:
            raise InvalidField("the token names a shard that does not exist", field="token")
        try:
            async with asyncio.timeout(timeout):
                await self._wait(token)
        except TimeoutError:
            raise TokenNotReached(
                "the required state was not reached in time; try again",
                reached=str(self._reached),
                required=str(token),
            ) from None
        return self._reached

    async def _wait(self, token: Token) -> None:
        if self._reached.includes(token):
            return
        self._awaited.append(token)
        if self._refreshing is None:
            self._error = None
            self._refreshing = asyncio.create_task(self._refresh_while_awaited())
        try:
            while not self._reached.includes(token):
                await self._changed.wait()
                if self._error is not None and self._lacks_remote_shard(token):
                    raise self._error
        finally:
            self._awaited.remove(token)
            if not self._awaited:
                self._refreshing.cancel()
                self._refreshing = None

    async def _refresh_while_awaited(self) -> None:
        """Load the checkpoints, over and over, while a token lacks a shard of another replica.

        Run it as a separate task: where a load hangs, the workers here still wake the callers.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._refreshed_at + REFRESH_S - loop.time())
            if any(self._lacks_remote_shard(token) for token in self._awaited):
                try:
                    await self.refresh()
                    self._error = None
                except Exception as error:
                    self._error = error
                self._notify()
            self._refreshed_at = loop.time()

    def _lacks_remote_shard(self, token: Token) -> bool:
        leased = self._leased()
        return any(
            self._reached.offset(shard) < offset
            for shard, offset in enumerate(token.offsets)
            if shard not in leased
        )

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
