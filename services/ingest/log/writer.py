"""Appends facts in transactions that lock the heads of their shards.

Most facts are new, and most repeats are of facts that this process appended a moment ago and still
remembers. So the writer first writes without a lookup: the unique index raises an error where a
fact is in the log after all. Then the writer looks facts up before it writes, for as long as
lookups find facts that it does not remember: repeats come in bursts, because a client without a
response sends everything once more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import asyncpg

from services.ingest.domain.facts import FactRow, NewFact
from services.ingest.domain.offsets import (
    AppendOutcome,
    AppendPlan,
    AppendRequest,
    DedupKey,
    FactContent,
    ShardHeads,
    dedup_keys,
    plan_append,
)
from services.ingest.log.codec import CLOCK_TICKED, clock_tick
from services.ingest.log.copy_format import copy_rows
from services.ingest.log.store import FactKinds, Q, load_heads
from services.kernel.cache import RecentCache
from services.kernel.errors import StoreUnavailable, TokenNotReached
from services.kernel.index_key import IndexKey

#: Up to this number of rows, one call with arrays is faster than the round trips of COPY.
SMALL_BATCH = 128
#: The same while other processes append, too: they wait for the locks of the heads, which one call
#: holds for as long as the server works, and COPY for as long as this process is busy besides.
CONTENDED_BATCH = 4_000
#: The number of transactions that are one call after another process has appended in between.
CONTENDED_AFTER = 20
#: The number of transactions that look facts up before they write, after a repeat was found. They
#: are few: a lookup costs a third of a write, and a single repeat only makes one write twice.
LOOKUP_AFTER_CONFLICT = 8
#: The SQLSTATE that `lock_heads` raises.
_CLOCK_AHEAD = "OF001"
#: The number of facts in the log whose content tag is remembered.
REMEMBERED = 50_000

# A replica that hangs while it holds locks would block all the others: PostgreSQL ends its session.
# One that hangs inside COPY is ended by a replica that waits; see `AppendConnection`.
_BEGIN = """BEGIN;
SET LOCAL idle_in_transaction_session_timeout = '5s';
SET LOCAL lock_timeout = '20s'"""


#: Work in an open transaction that holds the locks of all shards.
WorkUnderLocks: TypeAlias = Callable[[asyncpg.Connection, ShardHeads], Awaitable[NewFact]]


#: Returns which requests nothing is appended of, by index, and why. It is called in an open
#: transaction that holds the locks of the shards of all requests.
AppendGuard: TypeAlias = Callable[
    [asyncpg.Connection, Sequence[AppendRequest]], Awaitable[Mapping[int, TokenNotReached]]
]


class ClockAhead(StoreUnavailable):
    """The clock of PostgreSQL is ahead of both the log and this machine."""


class Appended(NamedTuple):
    """A committed transaction: its new rows, and the outcome of each request."""

    rows: list[FactRow]
    outcomes: list[AppendOutcome]
    #: The log's clock in the transaction, Unix microseconds.
    instant_us: int
    #: The life of the log in which they were appended.
    life: int


class LogWriter:
    """Appends through a connection that has no other user at the same time.

    If a method raises, nothing was appended; except if the connection breaks during the
    commit: then only a repetition shows it. The connection may then be inside a transaction and
    must not be used again.
    """

    def __init__(
        self, shards: int, kinds: FactKinds, index_key: IndexKey, guard: AppendGuard | None = None
    ) -> None:
        """`guard`: called where facts follow from the log; None = all of them are appended."""
        self._index_key, self._guard = index_key, guard
        self._shards = shards
        self._kinds = kinds
        #: Facts that are in the log for certain.
        self._recent = RecentCache[DedupKey, FactContent](REMEMBERED)
        self._lookups_left = 0
        #: By shard, the head that the newest transaction has left.
        self._ends: dict[int, int] = {}
        self._contended_left = 0

    def forget(self) -> None:
        """Forget which facts are in the log: the next connection may show an older one."""
        self._recent = RecentCache[DedupKey, FactContent](REMEMBERED)
        self._ends.clear()

    async def append(
        self, conn: asyncpg.Connection, requests: Sequence[AppendRequest], latest_us: int
    ) -> Appended:
        """Append the facts of some callers in one transaction.

        `latest_us`: the latest instant that the clock of the server may show; see `LogClock`.
        """
        with _explain_clock():
            return await self._append(conn, requests, latest_us)

    async def _append(
        self, conn: asyncpg.Connection, requests: Sequence[AppendRequest], latest_us: int
    ) -> Appended:
        await self._kinds.ensure(conn, {f.kind for request in requests for f in request.facts})
        keys = [dedup_keys(request.facts, self._shards) for request in requests]
        flat = [key for of_request in keys for of_fact in of_request for key in of_fact]
        shards = sorted({shard for shard, _ in flat})
        guard = self._guard if any(request.known_us for request in requests) else None
        if not self._lookups_left and guard is None:
            plan = plan_append(requests, keys, self._recent.get_many(flat), self._kinds.ids)
            try:
                return await self._append_optimistic(conn, shards, plan, latest_us)
            except asyncpg.UniqueViolationError:
                self._lookups_left = LOOKUP_AFTER_CONFLICT
            if conn.is_in_transaction():
                await conn.execute("ROLLBACK")
        self._lookups_left = max(0, self._lookups_left - 1)
        heads = await self._begin(conn, shards, latest_us)
        refused = {} if guard is None else await guard(conn, requests)
        existing = await _existing_facts(conn, flat)
        if len(existing) > len(self._recent.get_many(existing)):
            self._lookups_left = LOOKUP_AFTER_CONFLICT
        plan = plan_append(requests, keys, existing, self._kinds.ids, refused)
        return await self._commit(conn, plan, heads)

    async def tick(
        self,
        conn: asyncpg.Connection,
        *,
        latest_us: int,
        advance_us: int = 0,
        idle_since_us: int | None = None,
    ) -> Appended:
        """Append a tick to every shard at one instant, later than all before it.

        `advance_us` moves the log's clock first. With `idle_since_us` nothing is appended where
        every shard has a fact that was recorded after that instant.
        """
        await self._kinds.ensure(conn, [CLOCK_TICKED])
        shards = list(range(self._shards))
        with _explain_clock():
            heads = await self._begin(conn, shards, latest_us, advance_us=advance_us)
        facts: list[NewFact] = []
        if idle_since_us is None or (await load_heads(conn)).oldest_us <= idle_since_us:
            # No earlier tick can have this instant, so none can have this fact id.
            heads = heads._replace(instant_us=heads.instant_us + 1)
            facts = [clock_tick(heads.instant_us, self._index_key)]
        keys = dedup_keys(facts, self._shards)
        plan = plan_append([AppendRequest(facts)], [keys], {}, self._kinds.ids)
        return await self._commit(conn, plan, heads)

    async def append_under_locks(
        self,
        conn: asyncpg.Connection,
        kinds: Sequence[str],
        work: WorkUnderLocks,
        *,
        latest_us: int,
    ) -> Appended:
        """Append the broadcast fact that some work returns, in the transaction of that work.

        The work holds the locks of all shards, and gets their heads: so no fact comes
        between what it reads and the one that it returns. It may be done twice. `kinds`: those of
        the facts that it writes. Where the fact is in the log, the work is undone.
        """
        await self._kinds.ensure(conn, kinds)
        shards = list(range(self._shards))
        with _explain_clock():
            heads = await self._begin(conn, shards, latest_us)
        facts = [await work(conn, heads)]
        keys = dedup_keys(facts, self._shards)
        existing = await _existing_facts(conn, [key for of_fact in keys for key in of_fact])
        plan = plan_append([AppendRequest(facts)], [keys], existing, self._kinds.ids)
        return await self._commit(conn, plan, heads)

    async def _append_optimistic(
        self, conn: asyncpg.Connection, shards: Sequence[int], plan: AppendPlan, latest_us: int
    ) -> Appended:
        largest = CONTENDED_BATCH if self._contended_left else SMALL_BATCH
        if not 0 < len(plan.facts) <= largest:
            return await self._commit(conn, plan, await self._begin(conn, shards, latest_us))
        arguments = _one_call_arguments(shards, plan)
        [row] = await conn.fetch(Q.append_in_one_call, *arguments, latest_us)
        heads = _heads(shards, row)
        return self._committed(plan, plan.rows(heads), heads)

    async def _begin(
        self,
        conn: asyncpg.Connection,
        shards: Sequence[int],
        latest_us: int,
        *,
        advance_us: int = 0,
    ) -> ShardHeads:
        """Begin a transaction that holds the locks of some shards, given in ascending order."""
        await conn.execute(_BEGIN)
        if advance_us:
            await conn.execute(Q.advance_clock, advance_us)
        [row] = await conn.fetch(Q.lock_heads, shards, latest_us)
        return _heads(shards, row)

    async def _commit(
        self, conn: asyncpg.Connection, plan: AppendPlan, heads: ShardHeads
    ) -> Appended:
        rows = plan.rows(heads)
        if rows:
            await copy_rows(conn, rows)
            # Shards without a new fact keep their head, also its instant. A script without
            # parameters is one round trip; all its values are integers.
            ends = ",".join(
                f"({shard},{heads.next[shard] + count}::bigint)"
                for shard, count in plan.counts.items()
                if count
            )
            await conn.execute(
                f"UPDATE head SET next = v.next, recorded_at = {heads.instant_us} "
                f"FROM (VALUES {ends}) AS v (shard, next) WHERE head.shard = v.shard; COMMIT"
            )
        else:
            await conn.execute("ROLLBACK")
        return self._committed(plan, rows, heads)

    def _committed(self, plan: AppendPlan, rows: list[FactRow], heads: ShardHeads) -> Appended:
        self._recent.update(plan.contents)
        self._note_heads(plan, heads)
        return Appended(rows, plan.outcomes(heads), heads.instant_us, heads.life)

    def _note_heads(self, plan: AppendPlan, heads: ShardHeads) -> None:
        """Note whether another process has moved the heads since this one did."""
        ends = self._ends
        if any(ends.get(shard, next_) != next_ for shard, next_ in heads.next.items()):
            self._contended_left = CONTENDED_AFTER
        elif self._contended_left:
            self._contended_left -= 1
        for shard, next_ in heads.next.items():
            ends[shard] = next_ + plan.counts.get(shard, 0)


@contextmanager
def _explain_clock() -> Iterator[None]:
    """Raise ClockAhead in place of the error of `lock_heads`."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if error.sqlstate != _CLOCK_AHEAD:
            raise
        raise ClockAhead(
            "the clock of PostgreSQL is far ahead of this machine's, and nothing takes back what"
            " the log records: set the clocks right, or accept this one with"
            " ONEFOLD_INGEST_MAX_CLOCK_AHEAD_S"
        ) from error


def _heads(shards: Sequence[int], row: asyncpg.Record) -> ShardHeads:
    return ShardHeads(dict(zip(shards, row["nexts"], strict=True)), row["instant"], row["life"])


async def _existing_facts(
    conn: asyncpg.Connection, keys: Sequence[DedupKey]
) -> dict[DedupKey, FactContent]:
    shards, fact_ids = zip(*keys, strict=True)
    rows = await conn.fetch(Q.existing_facts, shards, fact_ids)
    return {keys[index - 1]: (kind_id, tag) for index, kind_id, tag in rows}


def _one_call_arguments(shards: Sequence[int], plan: AppendPlan) -> list[Sequence[Any]]:
    """Return the arguments of `append_in_one_call`."""
    fact_shards, ranks, kind_ids, facts = zip(*plan.facts, strict=True)
    workspaces, fact_ids, _, leaf_ids, occurred, *others = zip(*facts, strict=True)
    slots = {shard: slot for slot, shard in enumerate(shards, 1)}
    return [
        shards,
        [plan.counts[shard] for shard in shards],
        [slots[shard] for shard in fact_shards],
        ranks,
        occurred,
        kind_ids,
        fact_ids,
        leaf_ids,
        workspaces,
        *others,
    ]
