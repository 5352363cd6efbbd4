"""Rebuilds the state of a service: folds a new generation beside the live one, compares, switches.

The new generation is folded from the log while the live one goes on. For the last stretch every
worker, in whichever replica, is stopped at its fence: the rebuild locks the rows of the
checkpoints. Then both states are at the same token, and their digests must be equal.

A state that is stalled because upstream has pruned its input cannot be compared. It is
resynced: the new state is folded up to the head of upstream, continues the outputs of the old one,
and publishes the difference between the two.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import KW_ONLY, dataclass, field, replace
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple, Protocol

import asyncpg
import structlog

from services.chassis.messaging.stream import OutboxMessage
from services.chassis.postgres import migrate
from services.chassis.postgres.database import (
    Database,
    acquire,
    connect_pool,
    generation_schema,
    lock_class,
)
from services.chassis.postgres.errors import translate_store_errors
from services.chassis.projection.backfill import is_backfilling
from services.chassis.projection.checkpoint import (
    Checkpoint,
    digests,
    discard_outputs,
    load_checkpoints,
    lock_checkpoints,
    retire_checkpoints,
    save_checkpoint,
    token_of,
)
from services.chassis.projection.failed_facts import copy_failed, hold_retries
from services.chassis.runtime.tasks import task_scope
from services.kernel.errors import Conflict, InvalidField
from services.kernel.tokens import Token

log = structlog.get_logger(__name__)

#: Facts that may be left to fold while the live state is stopped.
MAX_FINAL_STRETCH = 2_000
#: The most stretches folded beside the live state before it is stopped.
MAX_STRETCHES = 10
#: Comparisons before a difference counts: a projection may be between two parts of a batch.
COMPARISONS = 3
MAX_REPORTED_ROWS = 20
#: Seconds between two comparisons.
COMPARE_RETRY_S = 0.3
#: Seconds between two reports of progress.
PROGRESS_INTERVAL_S = 0.5


class Rebuilder(Protocol):
    """Rebuilds the state of a service from the log."""

    async def rebuild(
        self,
        pool: asyncpg.Pool,
        end: Token,
        *,
        shards: int,
        workers: int,
        progress: Callable[[int], None],
    ) -> None:
        """Fold the log into the generation of `pool`, from its checkpoints up to `end` exactly.

        Called again, with later tokens, until the live state is caught up with. Writes state,
        digests, and `log_offset` of the checkpoints (a row per shard of the log); publishes
        nothing. `shards`: fold as if the log had this many; `workers` fold side by side; `progress`
        is called with the facts that were folded since its last call.
        """

    async def carry_over(self, conn: asyncpg.Connection, live: str, new: str) -> None:
        """Copy the data that a new state must continue and no digest covers, such as versions.

        `live` and `new` are schemas; every worker is stopped. Called before the switch, in its
        transaction.
        """

    async def differing_rows(
        self, conn: asyncpg.Connection, live: str, new: str, limit: int
    ) -> list[str]:
        """Return names of rows that differ between two schemas, without values.

        It covers all that follows from the facts, also what no digest does, such as timers. `conn`
        sees the schema `live`, and every worker is stopped. See `differing_table_rows`.
        """


@dataclass(frozen=True, slots=True)
class StateSwap:
    """A stalled state and the one that replaces it."""

    #: The schemas.
    live: str
    new: str
    #: The checkpoints of all shards in the old state and in the new one.
    before: Sequence[Checkpoint]
    after: Sequence[Checkpoint]


class Resync(Protocol):
    """Replaces a stalled state by a new one that goes beyond its checkpoints."""

    async def upstream_head(self) -> Token:
        """Return how far upstream is; its messages up to there, or its state, can be read."""

    async def build(
        self, pool: asyncpg.Pool, end: Token, *, workers: int, progress: Callable[[int], None]
    ) -> None:
        """Fold up to `end` as `Rebuilder.rebuild` does, whatever the live state is."""

    async def difference(
        self, conn: asyncpg.Connection, swap: StateSwap
    ) -> Mapping[int, Sequence[OutboxMessage]]:
        """Return the outputs that publish what changed between the two states, by shard.

        Copies what the new state must continue, too. `conn` sees the new state; every worker is
        stopped. The outputs begin at `next_output` of the checkpoints before; the last one of each
        shard contains the log offset of the checkpoint after.
        """


class RebuildSource(NamedTuple):
    """What a rebuild reads beside or instead of the log."""

    #: Reads the log together with the service upstream, which rebuilds at the same time.
    together: bool = False
    #: The folder with rows that an engine has computed.
    rows: Path | None = None


FROM_LOG = RebuildSource()


class RebuildProgress(NamedTuple):
    """Facts folded, and facts to fold."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """How a rebuild ended."""

    #: The digests by workspace, 32 hexadecimal digits.
    live: dict[str, str]
    rebuilt: dict[str, str]
    token: Token
    #: Facts folded.
    done: int
    differing_rows: list[str] = field(default_factory=list)
    #: Whether the new generation is live now.
    switched: bool = False

    @property
    def equal(self) -> bool:
        return self.live == self.rebuilt and not self.differing_rows


@dataclass(frozen=True, slots=True)
class RebuildRunner:
    """Rebuilds the state of one service."""

    database: Database
    rebuilder: Rebuilder
    _: KW_ONLY
    #: Those of the log.
    shards: int
    #: Returns a rebuilder with another source than the log alone; None where it has none.
    with_source: Callable[[RebuildSource], Rebuilder] | None = None
    #: None for a service whose upstream is the log: its outputs have the numbers of the facts.
    resync: Resync | None = None
    #: Returns the end of the log, for a resync without `resync`.
    log_head: Callable[[], Awaitable[Token]] | None = None
    #: The folder of the services.
    root: Traversable = migrate.ROOT

    async def run(
        self,
        *,
        shards: int = 0,
        workers: int = 1,
        switch_over: bool = False,
        resync: bool = False,
        source: RebuildSource = FROM_LOG,
    ) -> AsyncIterator[RebuildProgress | RebuildResult]:
        """Rebuild and compare; yield the progress, and last the result.

        `shards`: as if the log had this many, 0 = as it is. `resync`: switch over, whatever
        the comparison shows, to a state that has everything that upstream has. Raises InvalidField
        where another number of shards is to become live, Conflict where another rebuild or a
        backfill is in progress.
        """
        if (switch_over or resync) and shards not in (0, self.shards):
            raise InvalidField(
                "a state with another number of shards cannot become live", field="shards"
            )
        options = _Options(shards or self.shards, max(1, workers), switch_over, resync, source)
        async with self._prepare(options) as run, task_scope(run.execute()) as executing:
            while not executing.done():
                yield RebuildProgress(run.done, max(run.done, sum(run.end.offsets)))
                await asyncio.wait({executing}, timeout=PROGRESS_INTERVAL_S)
            yield executing.result()

    def _rebuilder(self, source: RebuildSource) -> Rebuilder:
        return self.with_source(source) if self.with_source else self.rebuilder

    @asynccontextmanager
    async def _prepare(self, options: _Options) -> AsyncIterator[_Run]:
        database, service = self.database, self.database.service
        with translate_store_errors():
            conn = await database.connect()
            try:
                lock = lock_class(f"rebuild {service}")
                if not await conn.fetchval("SELECT pg_try_advisory_lock($1, 0)", lock):
                    raise Conflict(
                        f"a rebuild of {service} is in progress; retry when it has finished"
                    )
                await hold_retries(conn, service)
                # Under the lock: the generation after an outdated one may be the live one.
                await database.refresh()
                await conn.execute(f"SET search_path TO {database.schema}")
                if not options.resync:
                    await _refuse_while_backfilling(conn)
                generation = database.generation + 1
                async with database.owning() as owner:
                    await migrate.create_generation(
                        owner, service, generation, self.shards, self.root, roles=database.roles
                    )
                new = generation_schema(service, generation)
                async with await connect_pool(
                    database.dsn, schema=f"{new},{service}", role=database.fold_role
                ) as pool:
                    yield _Run(
                        options=options,
                        database=database,
                        rebuilder=self._rebuilder(options.source),
                        resync=self.resync if options.resync else None,
                        log_head=self.log_head if options.resync else None,
                        conn=conn,
                        pool=pool,
                        generation=generation,
                        live=generation_schema(service, generation - 1),
                        new=new,
                    )
            finally:
                await conn.close()


class _Options(NamedTuple):
    shards: int
    workers: int
    switch_over: bool
    resync: bool
    source: RebuildSource


@dataclass(slots=True)
class _Run:
    """One rebuild, and how far it is."""

    options: _Options
    database: Database
    rebuilder: Rebuilder
    resync: Resync | None
    log_head: Callable[[], Awaitable[Token]] | None
    #: Sees the live generation, and holds the lock of the rebuild.
    conn: asyncpg.Connection
    #: Sees the new generation.
    pool: asyncpg.Pool
    generation: int
    #: The schemas.
    live: str
    new: str
    done: int = 0
    end: Token = field(default_factory=Token)

    async def execute(self) -> RebuildResult:
        """Catch up, compare or resync, switch if requested, drop leftovers."""
        result, service = None, self.database.service
        try:
            await self._catch_up()
            result = await (self._swap() if self.options.resync else self._compare())
            return result
        finally:
            if result is not None and result.switched:
                await self.database.refresh()
                existing = await migrate.list_generations(self.conn, service)
                # Other replicas may still read the last one.
                await self._drop(g for g in existing if g < self.generation - 1)
            else:
                await self._drop([self.generation])

    async def _drop(self, generations: Iterable[int]) -> None:
        async with self.database.owning() as owner:
            for generation in generations:
                await migrate.drop_generation(owner, self.database.service, generation)

    async def _catch_up(self) -> None:
        for _ in range(MAX_STRETCHES):
            before = sum(self.end.offsets)
            await self._rebuild_to(await self._goal(await load_checkpoints(self.conn)))
            if sum(self.end.offsets) - before < MAX_FINAL_STRETCH:
                return

    async def _goal(self, live: Sequence[Checkpoint]) -> Token:
        """Return where the live state is; for a resync, where upstream is.

        An upstream that was restored alone is behind the live state.
        """
        if self.resync is not None:
            return await self.resync.upstream_head()
        return await self.log_head() if self.log_head is not None else token_of(live)

    async def _rebuild_to(self, end: Token) -> None:
        self.end = end
        # Both states leave out the same facts; retries are held, so none of them is folded now.
        await copy_failed(self.pool, self.live, self.new)
        workers = self.options.workers
        if self.resync is not None:
            await self.resync.build(self.pool, end, workers=workers, progress=self._count)
        else:
            shards = self.options.shards
            await self.rebuilder.rebuild(
                self.pool, end, shards=shards, workers=workers, progress=self._count
            )

    def _count(self, facts: int) -> None:
        self.done += facts

    async def _compare(self) -> RebuildResult:
        left = COMPARISONS
        while True:
            left -= 1
            async with self.conn.transaction():
                result = await self._compare_stopped(name_rows=left == 0)
            if result.equal or left == 0:
                log.info("rebuild_compared", equal=result.equal, switched=result.switched)
                return result
            await asyncio.sleep(COMPARE_RETRY_S)

    async def _compare_stopped(self, *, name_rows: bool) -> RebuildResult:
        """Compare while every worker waits; switch if requested and both states are equal."""
        token = token_of(await lock_checkpoints(self.conn))
        await _refuse_while_backfilling(self.conn)
        await self._rebuild_to(token)
        async with acquire(self.pool) as conn:
            rebuilt = await digests(conn)
        result = RebuildResult(await digests(self.conn), rebuilt, token, self.done)
        if result.equal and self.options.switch_over:
            await self._switch()
            # A row that was changed outside of the folds is replaced by the right one.
            return replace(result, switched=True)
        if not result.equal and not name_rows:
            return result
        limit = MAX_REPORTED_ROWS
        rows = await self.rebuilder.differing_rows(self.conn, self.live, self.new, limit)
        return replace(result, differing_rows=rows[:limit])

    async def _swap(self) -> RebuildResult:
        """Replace the live state by the new one, in one transaction."""
        async with self.conn.transaction():
            before = await lock_checkpoints(self.conn)
            await self._rebuild_to(await self._goal(before))
            live = await digests(self.conn)
            await self._use_schema(self.new)
            rebuilt, after = await digests(self.conn), await load_checkpoints(self.conn)
            outputs: Mapping[int, Sequence[OutboxMessage]] = {}
            if self.resync is not None:
                swap = StateSwap(live=self.live, new=self.new, before=before, after=after)
                outputs = await self.resync.difference(self.conn, swap)
            # The new state continues the outputs of the old one.
            for at, old in zip(after, before, strict=True):
                published = outputs.get(at.shard, ())
                next_output = published[-1].next if published else old.next_output
                if self.resync is None and at.next != old.next:
                    # The outputs have the numbers of the facts, and those are others now.
                    next_output = at.next
                    await discard_outputs(self.conn, at.shard)
                time_us = max(at.log_time_us, old.log_time_us)
                to = replace(at, next_output=next_output, log_time_us=time_us)
                await save_checkpoint(self.conn, to, published)
            await self._use_schema(self.live)
            await self._activate()
        result = RebuildResult(live, rebuilt, token_of(after), self.done, switched=True)
        log.warning("state_replaced", service=self.database.service, equal=result.equal)
        return result

    async def _use_schema(self, schema: str) -> None:
        await self.conn.execute(f"SET LOCAL search_path TO {schema},{self.database.service}")

    async def _switch(self) -> None:
        """Make the new state live; it is equal to the live one, so it takes its checkpoints."""
        await self.rebuilder.carry_over(self.conn, self.live, self.new)
        await self.conn.execute(
            f"UPDATE {self.new}.checkpoint AS new SET next = live.next,"
            " next_output = live.next_output, log_offset = live.log_offset,"
            " log_time_us = live.log_time_us, upstream_life = live.upstream_life"
            f" FROM {self.live}.checkpoint AS live WHERE live.shard = new.shard"
        )
        await self._activate()

    async def _activate(self) -> None:
        # From here on no worker acquires a fence of the old generation; they change to the new one.
        await retire_checkpoints(self.conn)
        await migrate.set_live_generation(self.conn, self.database.service, self.generation)


async def _refuse_while_backfilling(conn: asyncpg.Connection) -> None:
    """Raise Conflict while the live state is between two definitions and equals no rebuilt one."""
    if await is_backfilling(conn):
        raise Conflict("a backfill is in progress; retry when it has finished")
