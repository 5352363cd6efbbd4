"""Provides the event log to the endpoints and to the other services."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Self, cast

import asyncpg
import structlog

from services.chassis.messaging.lives import new_life
from services.chassis.postgres.database import acquire
from services.chassis.runtime.tasks import cancel_and_wait
from services.chassis.runtime.telemetry import Metrics
from services.ingest.domain.facts import AppendResult, NewFact
from services.ingest.domain.offsets import AppendOutcome, AppendRequest
from services.ingest.log.clock import LogClock
from services.ingest.log.connection import AppendConnection, ensure_durable
from services.ingest.log.group_commit import GroupCommit
from services.ingest.log.recent import RecentFacts
from services.ingest.log.store import FactKinds, LogHeads, LogReader, Q, load_heads
from services.ingest.log.writer import Appended, AppendGuard, LogWriter, WorkUnderLocks
from services.ingest.metrics import IngestMetrics
from services.kernel.errors import InvalidField
from services.kernel.index_key import IndexKey
from services.kernel.tokens import Token

log = structlog.get_logger(__name__)


class EventLog:
    """Appends to the log, reads it, and advances its clock.

    `async with EventLog(pool, shards=4, index_key=key) as event_log:` on a migrated schema. The
    first start fixes the number of shards; later ones raise ValueError for another number. One
    connection of the pool is held for appending.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        *,
        shards: int,
        index_key: IndexKey,
        api_pool: asyncpg.Pool | None = None,
        metrics: Metrics | None = None,
        clock: LogClock | None = None,
        guard: AppendGuard | None = None,
    ) -> None:
        """`api_pool`: that of the api role; None = `pool` reads everything.

        `guard`: see `LogWriter`.
        """
        self.shards = shards
        self.index_key = index_key
        #: The newest committed facts.
        self.recent = RecentFacts(shards)
        #: The newest life of the log that this process has seen; all recent facts are in it.
        self.life = 0
        self.kinds = FactKinds()
        self.clock = clock or LogClock()
        self.reader = LogReader(pool, self.kinds, api_pool or pool)
        self.metrics = IngestMetrics(metrics or Metrics("ingest"))
        self._pool = pool
        self._group = GroupCommit(self._commit)
        self._writer = LogWriter(shards, self.kinds, index_key, guard)
        self._connection = AppendConnection(pool, self._opened)
        self._committing: asyncio.Task[None] | None = None

    async def append(
        self, facts: Sequence[NewFact], *, atomic: bool = False, known_us: int = 0
    ) -> AppendResult:
        """Append facts and return after they are committed.

        Facts that are in the log already are not stored again. A fact whose id is in the log with
        other content is listed as conflicting and left out or, with `atomic`, raises Conflict and
        appends nothing. Raises StoreUnavailable: then the facts may be in the log or not, and the
        same call can be repeated. Cancelling the caller does not take the facts back.

        `known_us`: see `AppendRequest`. Raises TokenNotReached and appends nothing where the person
        of a fact was erased since.
        """
        if not facts:
            return AppendResult(0, frozenset(), frozenset(), Token(), 0)
        return await self._group.append(AppendRequest(facts, atomic, known_us))

    async def tick(self, *, advance_us: int = 0, idle_since_us: int | None = None) -> AppendResult:
        """Append a tick to every shard; `advance_us` moves the log's clock ahead first.

        With `idle_since_us`, a tick is appended only where a shard has had no fact since that
        instant: so of several replicas that call it at once, one ticks. Raises StoreUnavailable.
        """
        async with self._connection.acquire() as conn:
            ticked = await self._writer.tick(
                conn,
                latest_us=self.clock.latest_us(),
                advance_us=advance_us,
                idle_since_us=idle_since_us,
            )
            self._observe(ticked)
        return cast(AppendResult, ticked.outcomes[0])  # a tick never conflicts

    async def append_under_locks(self, kinds: Sequence[str], work: WorkUnderLocks) -> AppendResult:
        """Append the fact that some work returns; see `LogWriter.append_under_locks`.

        Raises StoreUnavailable: then the work was done or not, and the call can be repeated.
        """
        async with self._connection.acquire() as conn:
            latest_us = self.clock.latest_us()
            appended = await self._writer.append_under_locks(conn, kinds, work, latest_us=latest_us)
            self._observe(appended)
        return cast(AppendResult, appended.outcomes[0])  # one that is not atomic never conflicts

    async def heads(self) -> LogHeads:
        """Return the end of the log, and its clock. Raises StoreUnavailable."""
        async with acquire(self._pool) as conn:
            heads = await load_heads(conn, self.clock.latest_us())
        self.clock.observe(heads.now_us)
        return heads

    def check_shard(self, shard: int) -> int:
        """Return the shard. Raises InvalidField where the log does not have it."""
        if shard >= self.shards:
            raise InvalidField(f"the log has the shards 0 to {self.shards - 1}", field="shard")
        return shard

    async def _commit(self, requests: Sequence[AppendRequest]) -> Sequence[AppendOutcome]:
        async with self._connection.acquire() as conn:
            with self.metrics.group_duration.time():
                appended = await self._writer.append(conn, requests, self.clock.latest_us())
            self._observe(appended)
        self.metrics.group_size.observe(len(appended.rows))
        self.metrics.appended_rows.inc(len(appended.rows))
        return appended.outcomes

    async def _opened(self, conn: asyncpg.Connection) -> None:
        """Forget what the connection before this one has shown, read it again, begin a life."""
        self._writer.forget()
        await self.kinds.reload(conn)
        life = new_life()
        await conn.execute(Q.begin_life, life)
        heads = await load_heads(conn)
        self.life = life
        self.recent.reset(heads.token)

    def _observe(self, appended: Appended) -> None:
        self.life = appended.life
        self.recent.add(appended.rows)
        self.clock.observe(appended.instant_us)

    async def __aenter__(self) -> Self:
        async with acquire(self._pool) as conn:
            await ensure_durable(conn)
            await conn.execute(Q.make_heads, self.shards)
            heads = await load_heads(conn, self.clock.latest_us())
        ends = heads.token
        if len(ends.offsets) != self.shards:
            raise ValueError(f"this log has {len(ends.offsets)} shards and not {self.shards}")
        self.recent.observe_ends(ends)
        self.clock.observe(heads.now_us)
        async with self._connection.acquire():
            pass  # a life of the log begins, so that it can be read
        for shard, recent in enumerate(self.recent.shards):
            self.metrics.head_offset.labels(shard).set_function(partial(getattr, recent, "end"))
        log.info("log_opened", shards=self.shards, facts=sum(ends.offsets))
        self._committing = asyncio.create_task(self._group.run(), name="log-commit")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._committing is not None:
            await cancel_and_wait(self._committing)
        await self._connection.close()
