"""How far a service has come, for those who wait for a token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

from services.chassis.projection.checkpoint import Checkpoint, token_of
from services.chassis.runtime.tasks import cancel_and_wait
from services.kernel.errors import InvalidField, TokenNotReached
from services.kernel.tokens import Token

#: Seconds between two looks at shards that another replica holds.
LOOK_EVERY = 0.02


class ProgressTracker:
    """The offsets reached, by shard: told by the workers here, read from the store for the rest.

    An offset that was reached stays reached, so what is remembered is never wrong, at most old.
    """

    def __init__(
        self,
        shards: int,
        load: Callable[[], Awaitable[list[Checkpoint]]],
        held: Callable[[], Collection[int]],
    ) -> None:
        self._shards = shards
        self._load = load
        self._held = held
        self._known = Token()
        self._looking = asyncio.Lock()
        self._looked_at = 0.0
        self._waiters: set[asyncio.Future[None]] = set()

    def advance(self, shard: int, log_offset: int) -> None:
        """A worker here has come so far."""
        self._known = self._known.union(Token.from_offsets({shard: log_offset}))
        self._wake()

    async def refresh(self) -> Token:
        """The offsets as the store has them now. Raises StoreUnavailable."""
        self._known = self._known.union(token_of(await self._load()))
        return self._known

    async def wait_for(self, token: Token, timeout: float) -> Token:
        """Waits until `token` is reached. See `ProjectionRunner.wait_for`."""
        if len(token.offsets) > self._shards:
            raise InvalidField("the token names a shard that does not exist", field="token")
        if self._known.includes(token):
            return self._known
        try:
            async with asyncio.timeout(timeout):
                return await self._wait(token)
        except TimeoutError:
            raise TokenNotReached(
                "the state asked for was not reached in time; try again",
                reached=str(self._known),
                wanted=str(token),
            ) from None

    async def _wait(self, token: Token) -> Token:
        while not self._known.includes(token):
            missing = {s for s in range(self._shards) if self._lacks(s, token)}
            if missing <= set(self._held()):
                await self._wait_for_change()
            else:
                await self._look_unless_told(token)
        return self._known

    def _lacks(self, shard: int, token: Token) -> bool:
        return self._known.offset(shard) < token.offset(shard)

    async def _wait_for_change(self, *looks: asyncio.Future[None]) -> None:
        """Waits for the next commit here or for a look; not for ever, as a shard may move."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait(
                (waiter, *looks),
                timeout=LOOK_EVERY * 25,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            self._waiters.discard(waiter)

    async def _look_unless_told(self, token: Token) -> None:
        """Looks, unless workers here tell of `token` first: no look that hangs holds it up then.

        What else they tell ends no look, or a busy shard would keep others from being seen.
        """
        looking = asyncio.ensure_future(self._look_together())
        try:
            while not looking.done() and not self._known.includes(token):
                await self._wait_for_change(looking)
            if looking.done():
                looking.result()
        finally:
            await cancel_and_wait(looking)

    async def _look_together(self) -> None:
        """Looks at most once in a while, for all who wait."""
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        async with self._looking:
            if self._looked_at > asked_at:
                # Somebody looked while we waited for our turn.
                return
            pause = self._looked_at + LOOK_EVERY - loop.time()
            if pause > 0:
                await asyncio.sleep(pause)
            await self.refresh()
            self._looked_at = loop.time()
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
