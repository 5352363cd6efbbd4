"""Reads committed outputs again: for the relay, and for the services downstream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import asyncpg

from services.chassis.messaging.lives import check_life, has_life, went_back_message
from services.chassis.messaging.stream import Completion, OutboxMessage, StreamMessage
from services.chassis.postgres.database import Queries, acquire
from services.kernel.errors import RangeExpired, UpstreamWentBack

Q = Queries.load(__package__, "outbox.sql")

#: Outputs that are read at a time.
PAGE = 64


class OutboxReader(Protocol):
    """Where committed outputs can be read again: the outbox, or the log itself."""

    async def read(self, shard: int, first: int, limit: int) -> list[OutboxMessage]:
        """Return at most `limit` outputs in order, from the one that covers `first`; [] at the end.

        Raises RangeExpired where `first` is no longer stored.
        """

    async def tail(self, shard: int) -> int:
        """Return the sequence number after the newest output; 0 where there is none."""

    async def has_life(self, shard: int, end: int, life: int) -> bool:
        """Return whether everything before `end` is here as it was in a life of the stream."""

    async def prune(self, shard: int, published: int) -> None:
        """Delete the expired outputs before `published`."""


@dataclass(frozen=True, slots=True)
class Outbox:
    """The outbox of a service."""

    pool: asyncpg.Pool
    #: Seconds after which an output may be deleted.
    retention: float = 86_400.0
    #: Adds what the service does not store of its outputs; None where it stores all of them.
    completion: Completion | None = None

    async def read(self, shard: int, first: int, limit: int) -> list[OutboxMessage]:
        async with acquire(self.pool) as conn:
            rows = await conn.fetch(Q.read_outbox, shard, first, limit)
        if rows and rows[0]["first"] > first:
            raise RangeExpired(f"the outbox begins at {rows[0]['first']}; rebuild from the log")
        outputs = [OutboxMessage(*row) for row in rows]
        if outputs and self.completion is not None:
            return list(await self.completion(shard, outputs))
        return outputs

    async def tail(self, shard: int) -> int:
        async with acquire(self.pool) as conn:
            return await conn.fetchval(Q.load_outbox_end, shard) or 0

    async def has_life(self, shard: int, end: int, life: int) -> bool:
        async with acquire(self.pool) as conn:
            return await has_life(conn, shard, end, life)

    async def check_start(self, shard: int, first: int, life: int = 0) -> None:
        """Raise UpstreamWentBack where a consumer has read what the stream does not have.

        `life`: that of the stream in which it has read up to `first`; 0 = not known. Raises
        StoreUnavailable where the stream has no writer since the database changed.
        """
        async with acquire(self.pool) as conn:
            # Of the state and not of the outbox, the end of which a resync may have discarded.
            tail = await conn.fetchval(Q.load_next_output, shard) or 0
            await check_life(conn, shard, first, life)
        if first > tail:
            raise UpstreamWentBack(went_back_message(shard, first, tail))

    async def prune(self, shard: int, published: int) -> None:
        """See `OutboxReader.prune`. The newest output always stays: it marks the outbox's end."""
        status = "DELETE 1"
        while status != "DELETE 0":
            async with acquire(self.pool) as conn:
                status = await conn.execute(Q.prune_outbox, shard, published, self.retention)

    async def stream(self, shard: int, first: int, end: int = 0) -> AsyncIterator[StreamMessage]:
        """Read the messages that cover [first, end); `end` 0 reads up to the present tail.

        The first and the last one may reach beyond the range. Raises RangeExpired, and what the
        completion raises.
        """
        end = end or await self.tail(shard)
        while first < end:
            page = await self.read(shard, first, PAGE)
            if not page:
                return
            for output in page:
                if output.first >= end:
                    return
                yield StreamMessage(output.first, output.next, output.payload, output.life)
            first = page[-1].next
