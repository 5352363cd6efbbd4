"""Runs rebuilds: a new generation is folded beside the live one, compared, and made live.

The new generation is folded from the log while the live one goes on. For the last stretch every
worker, in whichever replica, is stopped at its fence: the rebuild locks the rows of the
checkpoints. Then both states are at the same token, and their digests must be equal.

A state that is stalled because upstream no longer stores what it needs cannot be compared. It is
resynced: the new state is folded up to the head of upstream, continues the outputs of the old one,
and publishes the difference between the two.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from importlib.resources.abc import Traversable

import asyncpg
import structlog

from services.chassis.messaging.stream import OutboxMessage
from services.chassis.postgres.database import (
    Database,
    acquire,
    connect_pool,
    generation_schema,
    translate_store_errors,
)
from services.chassis.postgres.locks import lock_class
from services.chassis.postgres.migrate import (
    ROOT,
    create_generation,
    drop_generation,
    list_generations,
    set_live_generation,
)
from services.chassis.projection.backfill import is_backfilling
from services.chassis.projection.checkpoint import (
    Checkpoint,
    digests,
    load_checkpoints,
    lock_checkpoints,
    retire_checkpoints,
    save_checkpoint,
    token_of,
)
from services.chassis.projection.rebuild import Rebuilder, Resync, StateSwap
from services.chassis.runtime.tasks import task_scope
from services.kernel.errors import Conflict, InvalidField
from services.kernel.tokens import Token

log = structlog.get_logger(__name__)

#: Facts that may be left to fold while the live state is stopped.
MAX_FINAL_STRETCH = 2_000
#: Stretches folded beside the live state before it is stopped in any case.
MAX_STRETCHES = 10
#: Comparisons before a difference counts: a projection may be between two parts of a batch.
COMPARISONS = 3
MAX_REPORTED_ROWS = 20
#: Seconds between two comparisons.
COMPARE_RETRY_S = 0.3
#: Seconds between two reports of progress.
PROGRESS_INTERVAL_S = 0.5


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

    `resync`: None for a service whose upstream is never deleted, which needs no resync.
    """

    def __init__(
        self,
        database: Database,
        rebuilder: Rebuilder,
        *,
        shards: int,
        resync: Resync | None = None,
        root: Traversable = ROOT,
    ) -> None:
        self._database = database
        self._rebuilder = rebuilder
        self._resync = resync
        self._shards = shards
        self._root = root

    async def run(
        self, *, shards: int = 0, workers: int = 1, switch_over: bool = False, resync: bool = False
    ) -> AsyncIterator[RebuildProgress | RebuildResult]:
        """Rebuild and compare; yield the progress, and last the result.

        `shards`: as if the log were cut into so many, 0 = as it is. `resync`: switch over, whatever
        the comparison shows, to a state that has everything that upstream has. Raises InvalidField
        where another number of shards is to become live, Conflict where another rebuild or a
        backfill is in progress.
        """
        if (switch_over or resync) and shards not in (0, self._shards):
            raise InvalidField(
                "a state with another number of shards cannot become live", field="shards"
            )
        request = _Request(shards or self._shards, max(1, workers), switch_over, resync)
        async with self._prepare(request) as run, task_scope(run.execute()) as executing:
            while not executing.done():
                yield RebuildProgress(request.done, max(request.done, sum(request.end.offsets)))
                await asyncio.wait({executing}, timeout=PROGRESS_INTERVAL_S)
            yield executing.result()

    @asynccontextmanager
    async def _prepare(self, request: _Request) -> AsyncIterator[_Run]:
        database, service = self._database, self._database.service
        await database.refresh()
        with translate_store_errors():
            conn = await database.connect()
            try:
                await _lock_rebuild(conn, service)
                if not request.resync:
                    await _refuse_while_backfilling(conn)
                generation = database.generation + 1
                await create_generation(conn, service, generation, self._shards, self._root)
                schema = f"{generation_schema(service, generation)},{service}"
                async with await connect_pool(database.dsn, schema=schema) as pool:
                    yield _Run(
                        database=database,
                        rebuilder=self._rebuilder,
                        resync=self._resync if request.resync else None,
                        request=request,
                        conn=conn,
                        pool=pool,
                        generation=generation,
                    )
            finally:
                await conn.close()


@dataclass(slots=True)
class _Request:
    """What a caller requested, and how far it is."""

    shards: int
    workers: int
    switch_over: bool
    resync: bool
    done: int = 0
    end: Token = field(default_factory=Token)

    def count(self, facts: int) -> None:
        self.done += facts


class _Run:
    """One rebuild. `conn` sees the live generation and holds the lock, `pool` sees the new one."""

    def __init__(
        self,
        *,
        database: Database,
        rebuilder: Rebuilder,
        resync: Resync | None,
        request: _Request,
        conn: asyncpg.Connection,
        pool: asyncpg.Pool,
        generation: int,
    ) -> None:
        self._database = database
        self._rebuilder = rebuilder
        self._resync = resync
        self._request = request
        self._conn = conn
        self._pool = pool
        self._generation = generation
        self._service = database.service
        self._live = generation_schema(self._service, generation - 1)
        self._new = generation_schema(self._service, generation)

    async def execute(self) -> RebuildResult:
        """Catch up, compare or resync, switch if requested, drop what is left over."""
        result = None
        try:
            await self._catch_up()
            result = await (self._swap() if self._request.resync else self._compare())
            return result
        finally:
            if result is not None and result.switched:
                await self._database.refresh()
                await self._drop_older()
            else:
                await drop_generation(self._conn, self._service, self._generation)

    async def _catch_up(self) -> None:
        for _ in range(MAX_STRETCHES):
            before = sum(self._request.end.offsets)
            await self._rebuild_to(await self._goal(await load_checkpoints(self._conn)))
            if sum(self._request.end.offsets) - before < MAX_FINAL_STRETCH:
                return

    async def _goal(self, live: Sequence[Checkpoint]) -> Token:
        """Return where the live state is; for a resync, where upstream is."""
        goal = token_of(live)
        return goal.union(await self._resync.upstream_head()) if self._resync else goal

    async def _rebuild_to(self, end: Token) -> None:
        request = self._request
        request.end = end
        if self._resync is not None:
            await self._resync.build(
                self._pool, end, workers=request.workers, progress=request.count
            )
            return
        await self._rebuilder.rebuild(
            self._pool, end, shards=request.shards, workers=request.workers, progress=request.count
        )

    async def _compare(self) -> RebuildResult:
        for left in reversed(range(COMPARISONS)):
            async with self._conn.transaction():
                result = await self._compare_stopped(is_last=left == 0)
            if result is not None:
                log.info("rebuild_compared", equal=result.equal, switched=result.switched)
                return result
            await asyncio.sleep(COMPARE_RETRY_S)
        raise AssertionError("the last comparison has a result")

    async def _compare_stopped(self, *, is_last: bool) -> RebuildResult | None:
        """Compare while every worker waits; None where they differ and another try follows."""
        token = token_of(await lock_checkpoints(self._conn))
        await _refuse_while_backfilling(self._conn)
        await self._rebuild_to(token)
        live = await digests(self._conn)
        async with acquire(self._pool) as conn:
            rebuilt = await digests(conn)
        if live == rebuilt:
            if self._request.switch_over:
                await self._switch()
            return RebuildResult(
                equal=True,
                live=live,
                rebuilt=rebuilt,
                token=token,
                done=self._request.done,
                switched=self._request.switch_over,
            )
        if not is_last:
            return None
        rows = await self._rebuilder.differing_rows(
            self._conn, self._live, self._new, MAX_REPORTED_ROWS
        )
        return RebuildResult(
            equal=False,
            live=live,
            rebuilt=rebuilt,
            token=token,
            done=self._request.done,
            differing_rows=rows[:MAX_REPORTED_ROWS],
        )

    async def _swap(self) -> RebuildResult:
        """Replace the live state by the new one, in one transaction."""
        async with self._conn.transaction():
            before = await lock_checkpoints(self._conn)
            await self._rebuild_to(await self._goal(before))
            live = await digests(self._conn)
            await self._use_schema(self._new)
            rebuilt, after = await digests(self._conn), await load_checkpoints(self._conn)
            outputs = await self._difference(before, after)
            for at, old in zip(after, before, strict=True):
                await self._continue_outbox(at, old, outputs.get(at.shard, ()))
            await self._use_schema(self._live)
            await self._activate()
        log.warning("state_replaced", service=self._service, equal=live == rebuilt)
        return RebuildResult(
            equal=live == rebuilt,
            live=live,
            rebuilt=rebuilt,
            token=token_of(after),
            done=self._request.done,
            switched=True,
        )

    async def _use_schema(self, schema: str) -> None:
        await self._conn.execute(f"SET LOCAL search_path TO {schema},{self._service}")

    async def _difference(
        self, before: Sequence[Checkpoint], after: Sequence[Checkpoint]
    ) -> Mapping[int, Sequence[OutboxMessage]]:
        if self._resync is None:
            return {}
        swap = StateSwap(live=self._live, new=self._new, before=before, after=after)
        return await self._resync.difference(self._conn, swap)

    async def _continue_outbox(
        self, at: Checkpoint, old: Checkpoint, outputs: Sequence[OutboxMessage]
    ) -> None:
        """Continue the outputs of the old state in the new one."""
        next_output = outputs[-1].next if outputs else old.next_output
        time_us = max(at.log_time_us, old.log_time_us)
        to = replace(at, next_output=next_output, log_time_us=time_us)
        await save_checkpoint(self._conn, to, outputs)

    async def _switch(self) -> None:
        """Make the new state live; it is equal to the live one, so it takes its checkpoints."""
        await self._rebuilder.carry_over(self._conn, self._live, self._new)
        await self._conn.execute(
            f"UPDATE {self._new}.checkpoint AS new SET next = live.next,"
            " next_output = live.next_output, log_offset = live.log_offset,"
            " log_time_us = live.log_time_us"
            f" FROM {self._live}.checkpoint AS live WHERE live.shard = new.shard"
        )
        await self._activate()

    async def _activate(self) -> None:
        # From here on no worker acquires a fence of the old generation; they change to the new one.
        await retire_checkpoints(self._conn)
        await set_live_generation(self._conn, self._service, self._generation)

    async def _drop_older(self) -> None:
        """Drop all generations before the last one, which other replicas may still read."""
        for generation in await list_generations(self._conn, self._service):
            if generation < self._generation - 1:
                await drop_generation(self._conn, self._service, generation)


async def _lock_rebuild(conn: asyncpg.Connection, service: str) -> None:
    locked = await conn.fetchval(
        "SELECT pg_try_advisory_lock($1, 0)", lock_class(f"rebuild {service}")
    )
    if not locked:
        raise Conflict(f"a rebuild of {service} is in progress; retry when it has finished")


async def _refuse_while_backfilling(conn: asyncpg.Connection) -> None:
    """Raise Conflict while the live state is between two definitions and equals no rebuilt one."""
    if await is_backfilling(conn):
        raise Conflict("a backfill is in progress; retry when it has finished")
