"""Rebuilds a state the plain way: with the service's own fold over the whole upstream.

It suits a service whose upstream is complete, ends exactly where a read ends, and counts in offsets
of the log, and whose fold writes only to the generation it is given.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

import asyncpg
from onefold.log.v1.log_pb2 import Fact

from services.chassis.messaging.stream import Projection, StreamMessage, UnitId, Upstream
from services.chassis.postgres.database import acquire, transaction
from services.chassis.projection.backfill import Backfilling, run_to_end
from services.chassis.projection.checkpoint import load_checkpoint, make_batch, save_checkpoint
from services.chassis.projection.consumer import BatchBuilder, Limits, UpstreamGap
from services.chassis.projection.failed_facts import load_left_out
from services.kernel.tokens import Token

T = TypeVar("T")

#: Far more in one transaction than a live state folds: no caller waits for it.
CHUNK = Limits(messages=1_000, span=20_000, size=64_000_000)


@dataclass(frozen=True, slots=True)
class LogReplay:
    """Folds [checkpoint, end) of every shard of the log with `projection`, and publishes nothing.

    Then it runs the backfills that the folds scheduled.
    """

    projection: Projection
    upstream: Upstream
    limits: Limits = CHUNK

    async def rebuild(
        self, pool: asyncpg.Pool, end: Token, *, workers: int, progress: Callable[[int], None]
    ) -> None:
        """Fold up to `end`; see `Rebuilder.rebuild`. The shards are those of the log."""

        async def replay(shard: int, end_offset: int) -> None:
            await self._replay_shard(pool, shard, end_offset, progress)

        await for_each_shard(end, workers, replay)
        if isinstance(self.projection, Backfilling):
            await run_to_end(pool, self.projection)

    async def _replay_shard(
        self, pool: asyncpg.Pool, shard: int, end: int, progress: Callable[[int], None]
    ) -> None:
        async with acquire(pool) as conn:
            checkpoint = await load_checkpoint(conn, shard)
            if checkpoint is None or checkpoint.next >= end:
                return
            left_out = await load_left_out(conn, shard, checkpoint.next, end)
        messages = self.upstream.read(shard, checkpoint.next, end)
        async for chunk in _in_chunks(messages, checkpoint.next, self.limits):
            if chunk[-1].next > end:
                raise UpstreamGap(f"shard {shard} was read up to {chunk[-1].next}, not {end}")
            first = checkpoint.next
            while checkpoint.next < chunk[-1].next:
                chunk = tuple(m for m in chunk if m.next > checkpoint.next)
                async with transaction(pool) as conn:
                    folded = await self.projection.fold(
                        conn, make_batch(checkpoint, chunk, left_out)
                    )
                    # Outputs are dropped, but numbered: the next batch continues with the numbers.
                    after = checkpoint.after(folded, chunk)
                    checkpoint, _ = await save_checkpoint(conn, after, (), folded.deltas)
            progress(checkpoint.next - first)


async def for_each_shard(
    end: Token, workers: int, work: Callable[[int, int], Awaitable[T]]
) -> list[T]:
    """Return `work(shard, end offset)` of every shard of a token, so many at a time.

    Raises the first error, which cancels the others.
    """
    slots = asyncio.Semaphore(workers)

    async def run(shard: int) -> T:
        async with slots:
            return await work(shard, end.offset(shard))

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(shard)) for shard in range(len(end.offsets))]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def without(facts: Sequence[Fact], left_out: Collection[UnitId]) -> Sequence[Fact]:
    """Return facts of one shard but those that a new state leaves out."""
    if not left_out:
        return facts
    return [fact for fact in facts if UnitId(fact.offset) not in left_out]


async def _in_chunks(
    messages: AsyncIterator[StreamMessage], at: int, limits: Limits
) -> AsyncIterator[tuple[StreamMessage, ...]]:
    chunk = BatchBuilder(at, limits)
    async for message in messages:
        if not chunk.add(message):
            yield tuple(chunk.messages)
            chunk = BatchBuilder(chunk.next, limits)
            chunk.add(message)
    if chunk.messages:
        yield tuple(chunk.messages)
