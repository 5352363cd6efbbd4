"""Rebuilds: the state is built anew beside the live one, compared at one token, put in its place.

The new generation is folded from the log while the live one goes on. For the last stretch every
worker, in whichever replica, is held at its fence: the rebuild locks the rows of the positions.
Then both states stand at the same token, and their digests must be the same.

A state that stands still, because upstream no longer keeps what it needs, cannot be compared with:
it is replaced. The new one is folded up to where upstream is, goes on where the outputs of the old
one ended, and says what changed in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from importlib.resources.abc import Traversable
from typing import Protocol

import asyncpg
import structlog

from services.chassis.messaging.stream import OutboxMessage
from services.chassis.postgres.database import (
    Database,
    acquire,
    connect_pool,
    generation_schema,
    lock_class,
    translate_store_errors,
)
from services.chassis.postgres.migrate import ROOT, create_generation
from services.chassis.projection.backfill import is_backfilling
from services.chassis.projection.checkpoint import (
    Checkpoint,
    Q,
    digests,
    load_checkpoints,
    lock_checkpoints,
    save_checkpoint,
    token_of,
)
from services.chassis.runtime.tasks import task_scope
from services.kernel.errors import Conflict, InvalidField
from services.kernel.tokens import Token

log = structlog.get_logger(__name__)

#: Facts that may be left to fold while the live state is held still.
MAX_FINAL_STRETCH = 2_000
#: Stretches folded beside the live state before it is held still in any case.
MAX_STRETCHES = 10
#: Comparisons before a difference is believed: a projection may be between two parts of a batch.
COMPARISONS = 3
MAX_REPORTED_ROWS = 20
#: Seconds between two comparisons.
COMPARE_RETRY_S = 0.3
#: Seconds between two tellings of progress.
PROGRESS_INTERVAL_S = 0.5


class Rebuilder(Protocol):
    """What a service knows about building its state anew."""

    async def rebuild(
        self,
        pool: asyncpg.Pool,
        until: Token,
        *,
        shards: int,
        workers: int,
        progress: Callable[[int], None],
    ) -> None:
        """Folds the log into the generation of `pool`, from its positions up to `until` exactly.

        Called again, with later tokens, until the live state is caught up with. Writes state,
        digests, and `log_offset` of the positions (one row a shard of the log); says nothing to
        anybody. `shards`: cut as if the log had so many; `workers` fold side by side;
        `progress` is told how many facts were folded since it was last told.
        """
        ...

    async def carry_over(self, conn: asyncpg.Connection, live: str, new: str) -> None:
        """Carries over what a new state must continue and no digest covers, such as versions.

        `live` and `new` are schemas; every worker is held still. Called before the switch, in its
        transaction.
        """
        ...

    async def differing_rows(
        self, conn: asyncpg.Connection, live: str, new: str, limit: int
    ) -> list[str]:
        """Names rows that differ between two schemas, without values; see `differing_digest_rows`."""
        ...


@dataclass(frozen=True, slots=True)
class StateSwap:
    """A state that is put in the place of another one without a comparison."""

    #: The schemas.
    live: str
    new: str
    #: Where all shards of the old state stood, and where those of the new one stand.
    before: Sequence[Checkpoint]
    after: Sequence[Checkpoint]


class Resync(Protocol):
    """What a service knows about a new state that goes beyond where the live one stands still."""

    async def upstream_head(self) -> Token:
        """How far upstream is; what it said up to there can be read or is in its state."""
        ...

    async def build(
        self, pool: asyncpg.Pool, until: Token, *, workers: int, progress: Callable[[int], None]
    ) -> None:
        """As `Rebuilder.rebuild`, without regard to the live state."""
        ...

    async def difference(
        self, conn: asyncpg.Connection, replaced: StateSwap
    ) -> Mapping[int, Sequence[OutboxMessage]]:
        """What those downstream must hear of what changed in between, by shard.

        Takes on what the new state must continue, too. `conn` sees the new state; every worker is
        held still. The outputs begin at `next_output` of the positions before; the last one of
        each shard tells the offset in the log of the position after.
        """
        ...


@dataclass(frozen=True, slots=True)
class RebuildProgress:
    """How far a rebuild is."""

    #: Facts folded, and facts to fold.
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """How a rebuild ended."""

    equal: bool
    #: By workspace, 32 hexadecimal digits.
    live: dict[str, str]
    rebuilt: dict[str, str]
    token: Token
    done: int
    differing_rows: list[str] = field(default_factory=list)
    #: Whether the new generation is live now.
    switched: bool = False


class RebuildRunner:
    """Rebuilds the state of one service. `shards` are those of the log.

    `replacer`: None for a service whose upstream is kept for ever, and which therefore never has to
    go beyond where it stands.
    """

    def __init__(
        self,
        database: Database,
        rebuilder: Rebuilder,
        *,
        shards: int,
        replacer: Resync | None = None,
        root: Traversable = ROOT,
    ) -> None:
        self._database = database
        self._rebuilder = rebuilder
        self._replacer = replacer
        self._shards = shards
        self._root = root

    async def run(
        self,
        *,
        shards: int = 0,
        workers: int = 1,
        switch_over: bool = False,
        replacing: bool = False,
    ) -> AsyncIterator[RebuildProgress | RebuildResult]:
        """Rebuilds and compares; tells progress, and last the outcome.

        `shards`: as if the log were cut into so many, 0 = as it is. `replacing`: switch over
        whatever the comparison says, to a state that has all that upstream has. Raises InvalidField
        where another cut is to be switched to, EtagMismatch where a rebuild is under way already.
        """
        if (switch_over or replacing) and shards not in (0, self._shards):
            raise InvalidField("a state that is cut otherwise cannot become live", field="shards")
        task = _Request(shards or self._shards, max(1, workers), switch_over, replacing)
        async with self._attempt(task) as attempt, task_scope(attempt.execute()) as carried:
            while not carried.done():
                yield RebuildProgress(task.done, max(task.done, sum(task.until.offsets)))
                await asyncio.wait({carried}, timeout=PROGRESS_INTERVAL_S)
            yield carried.result()

    @asynccontextmanager
    async def _attempt(self, task: _Request) -> AsyncIterator[_Run]:
        database, service = self._database, self._database.service
        await database.refresh()
        with translate_store_errors():
            conn = await database.connect()
            try:
                await _take_lock(conn, service)
                if not task.replacing:
                    await _refuse_while_backfilling(conn)
                generation = database.generation + 1
                await create_generation(conn, service, generation, self._shards, self._root)
                schema = database.schema_of(generation)
                async with await connect_pool(database.dsn, schema=schema) as pool:
                    rebuilder, replacer = self._rebuilder, self._replacer
                    yield _Run(database, rebuilder, replacer, task, conn, pool, generation)
            finally:
                await conn.close()


@dataclass(slots=True)
class _Request:
    """What is asked for, and how far it is."""

    shards: int
    workers: int
    switch_over: bool
    replacing: bool = False
    done: int = 0
    until: Token = field(default_factory=Token)

    def count(self, facts: int) -> None:
        self.done += facts


class _Run:
    """One rebuild. `conn` sees the live generation and holds the lock, `pool` sees the new one."""

    def __init__(
        self,
        database: Database,
        rebuilder: Rebuilder,
        replacer: Resync | None,
        task: _Request,
        conn: asyncpg.Connection,
        pool: asyncpg.Pool,
        generation: int,
    ) -> None:
        self._database = database
        self._rebuilder = rebuilder
        self._replacer = replacer if task.replacing else None
        self._task = task
        self._conn = conn
        self._pool = pool
        self._generation = generation
        self._service = database.service
        self._live = generation_schema(self._service, generation - 1)
        self._new = generation_schema(self._service, generation)

    async def execute(self) -> RebuildResult:
        """Catches up, compares or replaces, switches if asked, cleans up."""
        outcome = None
        try:
            await self._catch_up()
            outcome = await (self._resync() if self._task.replacing else self._compare())
            return outcome
        finally:
            if outcome is not None and outcome.switched:
                await self._database.refresh()
                await self._drop_older()
            else:
                await self._conn.execute(f"DROP SCHEMA IF EXISTS {self._new} CASCADE")

    async def _catch_up(self) -> None:
        for _ in range(MAX_STRETCHES):
            before = sum(self._task.until.offsets)
            await self._rebuild_until(await self._goal(await load_checkpoints(self._conn)))
            if sum(self._task.until.offsets) - before < MAX_FINAL_STRETCH:
                return

    async def _goal(self, live: Sequence[Checkpoint]) -> Token:
        """Where the live state stands; or, where it is left behind, upstream."""
        goal = token_of(live)
        return goal.union(await self._replacer.upstream_head()) if self._replacer else goal

    async def _rebuild_until(self, until: Token) -> None:
        task = self._task
        task.until = until
        if self._replacer is not None:
            await self._replacer.build(self._pool, until, workers=task.workers, progress=task.count)
            return
        await self._rebuilder.rebuild(
            self._pool, until, shards=task.shards, workers=task.workers, progress=task.count
        )

    async def _compare(self) -> RebuildResult:
        for left in reversed(range(COMPARISONS)):
            async with self._conn.transaction():
                outcome = await self._compare_still(last=left == 0)
            if outcome is not None:
                log.info("rebuild_compared", equal=outcome.equal, switched=outcome.switched)
                return outcome
            await asyncio.sleep(COMPARE_RETRY_S)
        raise AssertionError("the last comparison has an outcome")

    async def _compare_still(self, *, last: bool) -> RebuildResult | None:
        """Compares while every worker waits. None: they differ, and it is to be tried again."""
        token = token_of(await lock_checkpoints(self._conn))
        await _refuse_while_backfilling(self._conn)
        await self._rebuild_until(token)
        live = await digests(self._conn)
        async with acquire(self._pool) as conn:
            rebuilt = await digests(conn)
        if live == rebuilt:
            if self._task.switch_over:
                await self._switch()
            return RebuildResult(
                True, live, rebuilt, token, self._task.done, switched=self._task.switch_over
            )
        if not last:
            return None
        rows = await self._rebuilder.differing_rows(
            self._conn, self._live, self._new, MAX_REPORTED_ROWS
        )
        return RebuildResult(False, live, rebuilt, token, self._task.done, rows[:MAX_REPORTED_ROWS])

    async def _resync(self) -> RebuildResult:
        """Puts the new state in the place of the live one, in one transaction."""
        async with self._conn.transaction():
            before = await lock_checkpoints(self._conn)
            await self._rebuild_until(await self._goal(before))
            live = await digests(self._conn)
            await self._use_schema(self._new)
            rebuilt, after = await digests(self._conn), await load_checkpoints(self._conn)
            said = await self._publish_difference(before, after)
            for at, old in zip(after, before, strict=True):
                await self._continue_outbox(at, old, said.get(at.shard, ()))
            await self._use_schema(self._live)
            await self._activate()
        log.warning("state_replaced", service=self._service, equal=live == rebuilt)
        token = token_of(after)
        return RebuildResult(live == rebuilt, live, rebuilt, token, self._task.done, switched=True)

    async def _use_schema(self, schema: str) -> None:
        await self._conn.execute(f"SET LOCAL search_path TO {schema},{self._service}")

    async def _publish_difference(
        self, before: Sequence[Checkpoint], after: Sequence[Checkpoint]
    ) -> Mapping[int, Sequence[OutboxMessage]]:
        if self._replacer is None:
            return {}
        return await self._replacer.difference(
            self._conn, StateSwap(self._live, self._new, before, after)
        )

    async def _continue_outbox(
        self, at: Checkpoint, old: Checkpoint, said: Sequence[OutboxMessage]
    ) -> None:
        """The new state goes on where the outputs of the old one ended."""
        following = said[-1].next if said else old.next_output
        time_us = max(at.log_time_us, old.log_time_us)
        to = replace(at, next_output=following, log_time_us=time_us)
        await save_checkpoint(self._conn, to, said)

    async def _switch(self) -> None:
        """Both states are the same, so the new one stands where the live one stands."""
        await self._rebuilder.carry_over(self._conn, self._live, self._new)
        await self._conn.execute(
            f"UPDATE {self._new}.position AS new SET next = live.next,"
            " next_output = live.next_output, log_offset = live.log_offset,"
            " log_time_us = live.log_time_us"
            f" FROM {self._live}.position AS live WHERE live.shard = new.shard"
        )
        await self._activate()

    async def _activate(self) -> None:
        # From here on no fence of the old generation holds: its workers look for the new one.
        await self._conn.execute(Q.close_positions)
        await self._conn.execute(
            f"UPDATE {self._service}.generation SET live = $1", self._generation
        )

    async def _drop_older(self) -> None:
        """The generation before stays, for those who still read it."""
        for generation in await _generations(self._conn, self._service):
            if generation < self._generation - 1:
                schema = generation_schema(self._service, generation)
                await self._conn.execute(f"DROP SCHEMA {schema} CASCADE")


async def differing_digest_rows(
    conn: asyncpg.Connection, live: str, new: str, table: str, key: str, columns: str, limit: int
) -> list[str]:
    """Names rows of a table that are not the same in two schemas, for `differing_rows`.

    `key` is an SQL expression that gives the text by which a row is named, `columns` those that the
    digest covers: `differing_digest_rows(conn, live, new, "leaf", "encode(leaf_id, 'hex')", "leaf_id,
    state", 20)`.
    """
    rows = await conn.fetch(
        f"SELECT DISTINCT key FROM ("
        f" (SELECT {key} AS key, {columns} FROM {live}.{table}"
        f" EXCEPT SELECT {key}, {columns} FROM {new}.{table})"
        f" UNION ALL (SELECT {key}, {columns} FROM {new}.{table}"
        f" EXCEPT SELECT {key}, {columns} FROM {live}.{table})"
        f") AS differing ORDER BY key LIMIT {int(limit)}"
    )
    return [f"{table} {row['key']}" for row in rows]


async def _take_lock(conn: asyncpg.Connection, service: str) -> None:
    taken = await conn.fetchval(
        "SELECT pg_try_advisory_lock($1, 0)", lock_class(f"rebuild {service}")
    )
    if not taken:
        raise Conflict(f"a rebuild of {service} is under way; wait for its end")


async def _refuse_while_backfilling(conn: asyncpg.Connection) -> None:
    """Raise Conflict where the live state is between two definitions, equal to no rebuilt one."""
    if await is_backfilling(conn):
        raise Conflict("a backfill is in progress; retry when it has finished")


async def _generations(conn: asyncpg.Connection, service: str) -> list[int]:
    rows = await conn.fetch(Q.list_generations, f"^{service}_g[0-9]+$")
    return sorted(int(row["name"].rpartition("_g")[2]) for row in rows)
