"""The plain way to build a state anew: the service's own fold over the whole upstream.

For a service whose upstream is kept from the beginning, is cut exactly where a reading is to end,
and counts in offsets of the log, and whose fold touches nothing but the generation it is given.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg

from services.chassis.messaging.stream import Projection, StreamMessage, Upstream
from services.chassis.postgres.database import acquire, transaction
from services.chassis.projection.backfill import Backfilling, run_to_end
from services.chassis.projection.checkpoint import (
    Checkpoint,
    load_checkpoint,
    make_batch,
    save_checkpoint,
)
from services.chassis.projection.consumer import BatchBuilder, Limits, UpstreamGap
from services.kernel.tokens import Token

#: Far more in one transaction than the live state takes: nobody waits for it.
CHUNK = Limits(messages=1_000, span=20_000, size=64_000_000)


class LogReplay:
    """Folds [position, until) of every shard of the log with `projection`, and says nothing."""

    def __init__(self, projection: Projection, upstream: Upstream, limits: Limits = CHUNK) -> None:
        self._projection = projection
        self._upstream = upstream
        self._limits = limits

    async def rebuild(
        self, pool: asyncpg.Pool, until: Token, *, workers: int, progress: Callable[[int], None]
    ) -> None:
        """See `services.chassis.projection.rebuild.Rebuilder.rebuild`; the cut of the log stays as it is."""
        room = asyncio.Semaphore(workers)

        async def work(shard: int) -> None:
            async with room:
                await self._replay_shard(pool, shard, until.offset(shard), progress)

        try:
            async with asyncio.TaskGroup() as group:
                for shard in range(len(until.offsets)):
                    group.create_task(work(shard))
        except ExceptionGroup as errors:
            # The first one ended the others.
            raise errors.exceptions[0] from None
        if isinstance(self._projection, Backfilling):
            await run_to_end(pool, self._projection)

    async def _replay_shard(
        self, pool: asyncpg.Pool, shard: int, until: int, progress: Callable[[int], None]
    ) -> None:
        async with acquire(pool) as conn:
            position = await load_checkpoint(conn, shard)
        if position is None or position.next >= until:
            return
        messages = self._upstream.read(shard, position.next, until)
        async for taken in _in_chunks(messages, position.next, self._limits):
            if taken[-1].next > until:
                raise UpstreamGap(f"shard {shard} was read up to {taken[-1].next}, not {until}")
            before, position = position, await self._fold_all(pool, position, taken)
            progress(position.next - before.next)

    async def _fold_all(
        self, pool: asyncpg.Pool, position: Checkpoint, messages: tuple[StreamMessage, ...]
    ) -> Checkpoint:
        until = messages[-1].next
        while position.next < until:
            messages = tuple(m for m in messages if m.next > position.next)
            batch = make_batch(position, messages)
            async with transaction(pool) as conn:
                folded = await self._projection.fold(conn, batch)
                position = position.after(folded)
                await save_checkpoint(conn, position, (), folded.deltas)
        return position


async def _in_chunks(
    messages: AsyncIterator[StreamMessage], at: int, limits: Limits
) -> AsyncIterator[tuple[StreamMessage, ...]]:
    take = BatchBuilder(at, limits)
    async for message in messages:
        if not take.add(message):
            yield tuple(take.messages)
            take = BatchBuilder(take.next, limits)
            take.add(message)
    if take.messages:
        yield tuple(take.messages)
