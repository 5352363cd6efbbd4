"""The event log as the doors and the other services use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import asyncpg

from services.chassis.database import acquire
from services.ingest.domain.facts import Appended, NewFact
from services.ingest.domain.placing import Answer, Placed, Request
from services.ingest.log import store
from services.ingest.log.appender import Appender
from services.ingest.log.group import GroupCommit
from services.ingest.log.tail import Tail
from services.ingest.log.writer import Writer
from services.kernel.tokens import Token


class EventLog:
    """The one truth: append to it, read it, follow it.

    `async with EventLog(pool, shards=4) as event_log:` on a migrated schema. The first one ever
    fixes the number of shards; ValueError is raised for another one. One connection of the pool
    is kept for appending.
    """

    def __init__(self, pool: asyncpg.Pool, *, shards: int) -> None:
        self.shards = shards
        #: What was committed last, and the bell for followers.
        self.tail = Tail(shards)
        self.kinds = store.Kinds()
        self._pool = pool
        self._group = GroupCommit(self._commit)
        self._writer = Writer(shards, self.kinds)
        self._appender = Appender(pool)
        self._committing: asyncio.Task[None]

    async def append(self, facts: Sequence[NewFact], *, whole: bool = False) -> Appended:
        """Appends facts and answers after they are committed.

        What is known already is not stored again; a fact id that is there with another content is
        listed as reused and left out or, with `whole`, refuses the call with EtagMismatch. Raises
        StoreUnavailable: then the facts may be in the log or not, and the same call again is safe.
        A caller that is cancelled does not take its facts back.
        """
        if not facts:
            return Appended(0, frozenset(), frozenset(), Token(), 0, ())
        return await self._group.append(Request(facts, whole))

    async def tick(
        self,
        tick_at: Callable[[int], NewFact],
        *,
        advance_us: int = 0,
        quiet_since_us: int | None = None,
    ) -> Placed:
        """See `Writer.tick`."""
        async with self._appender.connection() as conn:
            placed = await self._writer.tick(
                conn, tick_at, advance_us=advance_us, quiet_since_us=quiet_since_us
            )
            self.tail.add(placed.rows)
        return placed

    async def heads(self) -> store.Heads:
        """Where the log ends, and what time it is there. Raises StoreUnavailable."""
        async with acquire(self._pool) as conn:
            return await store.heads(conn)

    async def _commit(self, requests: Sequence[Request]) -> Sequence[Answer]:
        async with self._appender.connection() as conn:
            placed = await self._writer.append(conn, requests)
            self.tail.add(placed.rows)
        return placed.answers

    async def _open(self) -> None:
        async with acquire(self._pool) as conn:
            await conn.execute(store.Q.make_heads, self.shards)
            found = len((await store.heads(conn)).token.offsets)
            await self.kinds.load(conn)
        if found != self.shards:
            raise ValueError(f"this log has {found} shards and not {self.shards}")

    async def __aenter__(self) -> Self:
        await self._open()
        self._committing = asyncio.create_task(self._group.run(), name="log-commit")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._committing.cancel()
        await asyncio.gather(self._committing, return_exceptions=True)
        await self._appender.close()
