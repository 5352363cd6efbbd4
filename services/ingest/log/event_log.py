"""The event log as the doors and the other services use it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

import asyncpg
import structlog

from services.chassis.postgres.database import acquire
from services.ingest.domain.facts import Appended, NewFact, Row
from services.ingest.domain.offsets import Answer, Request
from services.ingest.log import metrics as meters
from services.ingest.log import store
from services.ingest.log.codec import tick_at
from services.ingest.log.connection import Appender
from services.ingest.log.group_commit import GroupCommit
from services.ingest.log.reader import PAGE_ROWS, Reader
from services.ingest.log.recent import Tail
from services.ingest.log.writer import Writer
from services.kernel.errors import InvalidField, StoreUnavailable
from services.kernel.tokens import Token

log = structlog.get_logger(__name__)

_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Ticked:
    """The log was told what time it is."""

    #: The state of the log that includes the tick.
    token: Token
    #: The instant, Unix microseconds.
    at_us: int


class EventLog:
    """The one truth: append to it, read it, follow it.

    `async with EventLog(pool, shards=4) as event_log:` on a migrated schema. The first one ever
    fixes the number of shards; ValueError is raised for another one. One connection of the pool
    is kept for appending. `poll_s`: how often followers look for what other replicas append.
    """

    def __init__(self, pool: asyncpg.Pool, *, shards: int, poll_s: float = 0.05) -> None:
        self.shards = shards
        #: What was committed last, and the bell for followers.
        self.tail = Tail(shards)
        self.kinds = store.Kinds()
        self.reader = Reader(pool, self.kinds)
        self._pool = pool
        self._poll_s = poll_s
        self._group = GroupCommit(self._commit)
        self._writer = Writer(shards, self.kinds)
        self._appender = Appender(pool)
        self._tasks: list[asyncio.Task[None]] = []

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

    async def tick(self, *, advance_us: int = 0) -> Ticked:
        """Appends a tick to every shard; `advance_us` moves the log's clock ahead first.

        Raises StoreUnavailable.
        """
        ticked = await self._tick(advance_us=advance_us)
        if ticked is None:
            raise RuntimeError("a tick without a condition was not appended")
        return ticked

    async def tick_if_quiet(self, since_us: int) -> Ticked | None:
        """Appends a tick to every shard where one of them has heard nothing since an instant.

        Safe in several replicas at once: one of them ticks. Raises StoreUnavailable.
        """
        return await self._tick(quiet_since_us=since_us)

    async def heads(self) -> store.Heads:
        """Where the log ends, and what time it is there. Raises StoreUnavailable."""
        return await self.reader.heads()

    async def follow(self, shard: int, first: int) -> AsyncGenerator[Sequence[Row]]:
        """The rows of a shard from an offset on, and then what comes, without an end.

        Raises InvalidField where there is no such shard, and StoreUnavailable.
        """
        tail = self.tail.shards[self.check_shard(shard)]
        while True:
            rows = tail.take(first, PAGE_ROWS)
            rows = rows or await self.reader.page(shard, first, first + PAGE_ROWS)
            if rows:
                yield rows
                first = rows[-1].offset + 1
            else:
                await self.tail.wait_beyond(shard, first)

    def check_shard(self, shard: int) -> int:
        """The shard. Raises InvalidField where there is no such shard."""
        if shard >= self.shards:
            raise InvalidField(f"the log has the shards 0 to {self.shards - 1}", field="shard")
        return shard

    async def _commit(self, requests: Sequence[Request]) -> Sequence[Answer]:
        async with self._appender.connection() as conn:
            with meters.COMMIT.time():
                placed = await self._writer.append(conn, requests)
            self.tail.add(placed.rows)
        meters.GROUP.observe(len(placed.rows))
        meters.FACTS.inc(len(placed.rows))
        return placed.answers

    async def _tick(
        self, *, advance_us: int = 0, quiet_since_us: int | None = None
    ) -> Ticked | None:
        async with self._appender.connection() as conn:
            placed = await self._writer.tick(
                conn, tick_at, advance_us=advance_us, quiet_since_us=quiet_since_us
            )
            self.tail.add(placed.rows)
        if not placed.rows:
            return None
        ends = {row.shard: row.offset + 1 for row in placed.rows}
        return Ticked(Token.from_offsets(ends), placed.rows[0].recorded_at_us)

    async def _watch(self) -> None:
        """Tells followers what other replicas have appended."""
        while True:
            await self.tail.awaited.wait()
            pause = self._poll_s
            try:
                self.tail.learn((await self.heads()).token)
            except StoreUnavailable:
                pause = _PAUSE_S
            await asyncio.sleep(pause)

    async def _open(self) -> None:
        async with acquire(self._pool) as conn:
            await conn.execute(store.Q.make_heads, self.shards)
            ends = (await store.heads(conn)).token
            await self.kinds.load(conn)
        if len(ends.offsets) != self.shards:
            raise ValueError(f"this log has {len(ends.offsets)} shards and not {self.shards}")
        self.tail.learn(ends)
        for shard, tail in enumerate(self.tail.shards):
            meters.END.labels(shard).set_function(partial(getattr, tail, "end"))
        log.info("log_opened", shards=self.shards, facts=sum(ends.offsets))

    async def __aenter__(self) -> Self:
        await self._open()
        self._tasks = [
            asyncio.create_task(self._group.run(), name="log-commit"),
            asyncio.create_task(self._watch(), name="log-watch"),
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._appender.close()
