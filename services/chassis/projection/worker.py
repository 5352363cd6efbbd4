"""One worker folds one shard, as long as it holds it: take in, fold, commit, acknowledge, tell."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import asyncpg
import structlog

from services.chassis.messaging.stream import (
    Batch,
    FoldResult,
    OutboxMessage,
    Projection,
    StreamMessage,
)
from services.chassis.postgres.database import translate_store_errors
from services.chassis.projection.backfill import (
    Backfilling,
    load_backlog,
    run_step,
)
from services.chassis.projection.checkpoint import (
    Backlog,
    Checkpoint,
    InvalidFoldResult,
    acquire_fence,
    check_outputs,
    load_checkpoint,
    make_batch,
    save_checkpoint,
)
from services.chassis.projection.consumer import ShardConsumer
from services.chassis.runtime.telemetry import Metrics
from services.kernel.errors import RetryableError, StoreUnavailable

log = structlog.get_logger(__name__)

_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
#: What passes by itself, and is no fault of the shard: a peer that is away, workers in each other's
#: way.
_TRANSIENT = (RetryableError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
#: Seconds for which messages may gather while the last ones are folded already.
MAX_COALESCE_S = 0.2
#: Batches of so many places cost too much for each of them: there is load, and too little gathers.
SMALL_BATCHES = range(100, 1_000)
#: Folds without progress after which a projection is taken to be stuck.
MAX_FOLDS_WITHOUT_PROGRESS = 1_000


class FenceLost(Exception):
    """Somebody else works the shard now, or another generation is live."""


@dataclass(frozen=True, slots=True)
class WorkerCallbacks:
    """What a worker tells while it works."""

    #: A commit moved the position; its outputs are to be relayed.
    committed: Callable[[Checkpoint, Sequence[OutboxMessage]], Awaitable[None]]
    #: The worker cannot go on, and why; "" when it can again.
    stalled: Callable[[int, str], None]
    #: A fold scheduled backfills, perhaps for other shards.
    scheduled: Callable[[], None]


class ShardWorker:
    """Folds one shard on the connection that holds its lock."""

    def __init__(
        self,
        shard: int,
        conn: asyncpg.Connection,
        projection: Projection,
        intake: ShardConsumer,
        told: WorkerCallbacks,
        turns: asyncio.Semaphore,
        metrics: Metrics | None = None,
    ) -> None:
        """`turns`: so many workers of this process fold at a time."""
        self._shard = shard
        self._conn = conn
        self._projection = projection
        self._consumer = intake
        self._callbacks = told
        self._fold_slots = turns
        self._metrics = metrics
        #: Up to here messages are folded one by one: among them one failed.
        self._isolate_until = 0
        self._log_time_us = 0
        #: Seconds that the last messages took, without the waiting for a turn.
        self._worked_s = 0.0
        self._intake_failures = 0
        self._backfilling = projection if isinstance(projection, Backfilling) else None
        self._backlog = Backlog()
        #: The newest backfill request that was seen.
        self._newest_run = 0
        #: Until when no step is tried, because one failed (time of the event loop).
        self._postponed_until = 0.0
        self._step_failures = 0

    def wake(self) -> None:
        """Check for backfills now, also where no message comes."""
        if self._backfilling is not None:
            self._consumer.interrupt()

    async def run(self) -> None:
        """Works until cancelled. Raises FenceLost, StoreUnavailable."""
        with translate_store_errors():
            position = await load_checkpoint(self._conn, self._shard)
        if position is None:
            raise FenceLost("the generation is closed")
        await self._callbacks.committed(position, ())
        self._log_time_us = position.log_time_us
        with self._lag_reported():
            await self._check_backlog()
            while True:
                position = await self._backfill(position)
                messages = await self._consume(position)
                if not messages:
                    await self._check_backlog()
                    continue
                before, self._worked_s = position.next, 0.0
                position = await self._fold_all(position, messages)
                await self._consumer.ack()
                if not self._backlog:
                    await self._coalesce(position, position.next - before)

    async def _coalesce(self, at: Checkpoint, taken: int) -> None:
        """Lets messages gather for as long as the last ones took, or twice as long.

        A transaction costs much whatever is in it. So batches grow with the load, and one message
        alone is still folded at once.
        """
        if not self._consumer.is_full(at.next):
            times = 2 if taken in SMALL_BATCHES else 1
            await asyncio.sleep(min(times * self._worked_s, MAX_COALESCE_S))

    @contextmanager
    def _lag_reported(self) -> Iterator[None]:
        """The lag is told as of the asking: of a shard that stands still, it grows."""
        metrics = self._metrics
        if metrics is None:
            yield
            return
        metrics.lag_seconds.labels(self._shard).set_function(
            lambda: max(0.0, time.time() - self._log_time_us / 1e6)
        )
        try:
            yield
        finally:
            metrics.lag_seconds.remove(self._shard)

    async def _consume(self, position: Checkpoint) -> tuple[StreamMessage, ...]:
        """Return the next messages; () where none came, or where backfills are due."""
        try:
            messages = await self._consumer.next(position.next, self._backfill_due_in())
        except Exception as error:
            await self._consumer.restart()
            await self._pause("intake", position, error, self._intake_failures)
            await self._check_still_current(position)
            self._intake_failures += 1
            return ()
        if messages and self._intake_failures:
            self._intake_failures = 0
            self._callbacks.stalled(self._shard, "")
        return messages

    async def _check_still_current(self, position: Checkpoint) -> None:
        """Raises FenceLost where this state is no longer the one to go on with.

        Who takes nothing in comes by no fence, and would stand before a gap that was closed.
        """
        with translate_store_errors():
            if await load_checkpoint(self._conn, self._shard) != position:
                raise FenceLost(f"shard {self._shard} does not stand at {position.next}")

    async def _fold_all(
        self, position: Checkpoint, messages: tuple[StreamMessage, ...]
    ) -> Checkpoint:
        """Folds messages in as many transactions as the projection asks for."""
        until, idle = messages[-1].next, 0
        while position.next < until:
            if self._backlog.is_blocked:
                position = await self._backfill(position)
            messages = tuple(m for m in messages if m.next > position.next)
            careful = position.next < self._isolate_until
            before, position = (
                position,
                await self._fold_with_retries(position, messages[:1] if careful else messages),
            )
            idle = 0 if position != before else idle + 1
            if idle > MAX_FOLDS_WITHOUT_PROGRESS:
                raise InvalidFoldResult("the projection takes nothing in")
        return position

    async def _fold_with_retries(
        self, position: Checkpoint, messages: tuple[StreamMessage, ...]
    ) -> Checkpoint:
        """Folds once; where that fails, tries again, message by message, for ever.

        Nothing is left out: a shard that cannot go on stands still and says so.
        """
        failures = 0
        while True:
            batch = make_batch(position, messages)
            try:
                after = await self._fold_once(position, batch)
            except (FenceLost, StoreUnavailable):
                raise
            except Exception as error:
                if not isinstance(error, _TRANSIENT):
                    self._isolate_until = max(self._isolate_until, batch.next)
                    messages = messages[:1]
                await self._pause("fold", position, error, failures)
                failures += 1
            else:
                if failures:
                    self._callbacks.stalled(self._shard, "")
                return after

    async def _fold_once(self, position: Checkpoint, batch: Batch) -> Checkpoint:
        async with self._fold_slots:
            began = time.perf_counter()
            with translate_store_errors():
                folded, after = await self._commit(position, batch)
            took_s = time.perf_counter() - began
        self._worked_s += took_s
        await self._callbacks.committed(after, folded.outputs)
        self._measure(position, after)
        if self._metrics is not None:
            self._metrics.fold_duration_seconds.observe(took_s)
            self._metrics.batch_size_facts.observe(after.folded_offset - position.folded_offset)
        return after

    async def _commit(self, position: Checkpoint, batch: Batch) -> tuple[FoldResult, Checkpoint]:
        async with self._fenced(position):
            folded = await self._projection.fold(self._conn, batch)
            _check(batch, folded)
            after, backlog = await save_checkpoint(
                self._conn, position.after(folded), folded.outputs, folded.deltas
            )
        if self._note_backlog(backlog):
            self._callbacks.scheduled()
        return folded, after

    @asynccontextmanager
    async def _fenced(self, position: Checkpoint) -> AsyncIterator[None]:
        """Open a transaction that holds the fence. Raises FenceLost."""
        async with self._conn.transaction():
            if not await acquire_fence(self._conn, position):
                raise FenceLost(f"shard {self._shard} is not at {position.next} any more")
            yield

    async def _check_backlog(self) -> None:
        """Load what there is to backfill: other shards may have scheduled it."""
        if self._backfilling is not None and not self._backlog:
            with translate_store_errors():
                self._note_backlog(await load_backlog(self._conn, self._shard))

    def _note_backlog(self, backlog: Backlog) -> bool:
        """Remember what there is to backfill. Return whether there is a new request."""
        self._backlog = backlog
        is_new = backlog.newest_run > self._newest_run
        self._newest_run = max(self._newest_run, backlog.newest_run)
        return is_new

    def _backfill_due_in(self) -> float:
        """Return the seconds after which a step is to be tried; infinity where there is no job."""
        if not self._backlog or self._backfilling is None:
            return math.inf
        return max(0.0, self._postponed_until - time.monotonic())

    async def _backfill(self, position: Checkpoint) -> Checkpoint:
        """Take one step where one is due; where a job blocks the shard, all its steps."""
        projection = self._backfilling
        while projection and (self._backlog.is_blocked or self._backfill_due_in() == 0.0):
            try:
                position = await self._step_once(projection, position)
            except FenceLost:
                raise
            except Exception as error:
                if self._conn.is_closed():
                    raise
                await self._postpone_backfill(position, error)
            else:
                if self._step_failures:
                    self._step_failures = 0
                    self._callbacks.stalled(self._shard, "")
            if not self._backlog.is_blocked:
                break
        return position

    async def _step_once(self, projection: Backfilling, position: Checkpoint) -> Checkpoint:
        async with self._fold_slots:
            with translate_store_errors():
                async with self._fenced(position):
                    done = await run_step(self._conn, projection, position)
        if done is None:
            self._backlog = Backlog()
            return position
        step, after, backlog = done
        if self._note_backlog(backlog):
            self._callbacks.scheduled()
        await self._callbacks.committed(after, step.outputs)
        self._measure(position, after)
        return after

    async def _postpone_backfill(self, at: Checkpoint, error: Exception) -> None:
        """Let folding go on for a while after a step failed; a blocked shard waits instead."""
        failures, self._step_failures = self._step_failures, self._step_failures + 1
        if self._backlog.is_blocked:
            await self._pause("backfill", at, error, failures)
        else:
            self._log_failure("backfill", at, error, failures)
            pause_s = _PAUSES[min(failures, len(_PAUSES) - 1)]
            self._postponed_until = time.monotonic() + pause_s

    async def _pause(self, part: str, at: Checkpoint, error: Exception, failures: int) -> None:
        self._log_failure(part, at, error, failures)
        await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])

    def _log_failure(self, part: str, at: Checkpoint, error: Exception, failures: int) -> None:
        name = type(error).__name__
        if isinstance(error, _TRANSIENT):
            log.warning("fold_failed", part=part, shard=self._shard, at=at.next, error=name)
            return
        log.error(
            "fold_failed",
            part=part,
            shard=self._shard,
            at=at.next,
            attempt=failures + 1,
            exc_info=error,
        )
        self._callbacks.stalled(self._shard, f"{name} at {at.next}")

    def _measure(self, before: Checkpoint, after: Checkpoint) -> None:
        metrics = self._metrics
        if metrics is not None:
            facts = after.folded_offset - before.folded_offset
            metrics.facts_folded.labels(self._shard).inc(facts)
            metrics.checkpoint_offset.labels(self._shard).set(after.log_offset)
            self._log_time_us = after.log_time_us


def _check(batch: Batch, folded: FoldResult) -> None:
    """Raises FoldBroken where a fold went beyond its batch, or its outputs leave a gap."""
    if not batch.first <= folded.consumed_to <= batch.next:
        raise InvalidFoldResult(
            f"consumed to {folded.consumed_to} of [{batch.first}, {batch.next})"
        )
    check_outputs(folded.outputs, batch.next_output)
