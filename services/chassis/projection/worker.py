"""Folds one shard for as long as it is leased: consume, fold, commit, acknowledge, backfill."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import structlog

from services.chassis.messaging.stream import Batch, OutboxMessage, Projection, StreamMessage
from services.chassis.postgres.errors import is_session_lost, translate_store_errors
from services.chassis.postgres.plans import PlanRenewal
from services.chassis.projection.backfill import Backfilling, load_backlog, run_step
from services.chassis.projection.backfill_share import BackfillShare, StepGaveWay, StepTurns
from services.chassis.projection.batch_size import MAX_CPU_S, FoldPace, gathering_s
from services.chassis.projection.callbacks import WorkerCallbacks
from services.chassis.projection.checkpoint import (
    Backlog,
    Checkpoint,
    FenceLost,
    acquire_fence,
    check_fold,
    load_checkpoint,
    make_batch,
    save_checkpoint,
)
from services.chassis.projection.consumer import ShardConsumer
from services.chassis.projection.failed_facts import LeftOutCounts
from services.chassis.projection.isolating_fold import IsolatingFold, isolating_fold
from services.chassis.projection.positions import PositionOutputs
from services.chassis.projection.upstream_fault import UpstreamFault
from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.cpu import CostReports, CpuTimed
from services.chassis.runtime.telemetry import Metrics
from services.kernel.errors import OnefoldError, RetryableError, StoreUnavailable

log = structlog.get_logger(__name__)

#: Seconds; the longest pause before a failed fold, read or step is retried.
MAX_RETRY_S = 10.0
#: Transient errors that the shard does not cause: a peer is unavailable, or two workers lock
#: the same rows.
_TRANSIENT = (RetryableError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


class ShardWorker:
    """Folds one shard on the connection that holds its lock."""

    def __init__(
        self,
        shard: int,
        conn: asyncpg.Connection,
        projection: Projection,
        consumer: ShardConsumer,
        callbacks: WorkerCallbacks,
        fold_slots: asyncio.Semaphore,
        step_turns: StepTurns,
        metrics: Metrics,
        pace: FoldPace | None = None,
    ) -> None:
        """`fold_slots` limits how many workers of this process fold at a time; `pace`: how the
        worker before this one folded."""
        self._shard = shard
        self._conn = conn
        self._projection = projection
        self._consumer = consumer
        self._callbacks = callbacks
        self._fold_slots = fold_slots
        self._metrics = metrics
        self._pace = pace or FoldPace()
        self._isolating = isolating_fold(
            shard, conn, projection, metrics.service, consumer.upstream
        )
        self._log_time_us = 0
        self._costs = CostReports(metrics.cpu_budget_exceeded)
        #: Seconds that the last batch took, without waiting for a fold slot.
        self._worked_s = 0.0
        self._consume_backoff = Backoff(max_s=MAX_RETRY_S)
        self._upstream_fault = UpstreamFault(shard, conn)
        self._backfilling = projection if isinstance(projection, Backfilling) else None
        self._backlog = Backlog()
        #: The newest backfill request that was seen.
        self._newest_run = 0
        self._step_backoff = Backoff(max_s=MAX_RETRY_S)
        self._turns = step_turns
        self._share = BackfillShare(step_turns, shard, consumer.interrupt, consumer.has_message)
        self._positions = PositionOutputs(projection)
        self._plans = PlanRenewal(conn)

    def wake(self) -> None:
        """Check for backfills now, even if no message arrives."""
        if self._backfilling is not None:
            self._consumer.interrupt()

    async def run(self) -> None:
        """Work until cancelled. Raises FenceLost, StoreUnavailable."""
        with translate_store_errors(self._conn):
            checkpoint = await load_checkpoint(self._conn, self._shard)
        if checkpoint is None:
            raise FenceLost("the generation is retired")
        await self._upstream_fault.load()
        self._consumer.check_upstream(checkpoint.next, checkpoint.upstream_life)
        await self._callbacks.committed(checkpoint, ())
        self._log_time_us = checkpoint.log_time_us
        self._positions.note(checkpoint, ())
        # As of each scrape: the lag of a stalled shard grows.
        self._metrics.lag_seconds.labels(self._shard).set_function(
            lambda: max(0.0, time.time() - self._log_time_us / 1e6)
        )
        try:
            await self._check_backlog()
            if self._isolating is not None:
                with translate_store_errors(self._conn):
                    await self._isolating.start(self._pace)
            while True:
                checkpoint = await self._backfill(checkpoint)
                checkpoint = await self._retry_failed(checkpoint)
                messages = await self._consume(checkpoint)
                if not messages:
                    self._share.make_step_due()
                    await self._check_backlog()
                    checkpoint = await self._publish_position(checkpoint)
                    continue
                before, self._worked_s = checkpoint, 0.0
                checkpoint = await self._fold_all(checkpoint, messages)
                await self._consumer.ack()
                with translate_store_errors(self._conn):
                    facts = checkpoint.folded_offset - before.folded_offset
                    await self._plans.note_folded(facts)
                if not self._backlog and not self._consumer.is_full(checkpoint.next):
                    payload = sum(len(message.payload) for message in messages)
                    folded = checkpoint.next - before.next
                    await asyncio.sleep(gathering_s(folded, payload, self._worked_s))
        finally:
            self._share.end_step()
            self._metrics.lag_seconds.remove(self._shard)

    async def _consume(self, checkpoint: Checkpoint) -> tuple[StreamMessage, ...]:
        """Return the next messages; () where none arrived, or where a backfill step is due."""
        try:
            self._upstream_fault.check()
            messages = await self._consumer.next(
                checkpoint.next, self._work_due_in(), life=checkpoint.upstream_life
            )
        except Exception as error:
            await self._upstream_fault.note(error)
            await self._consumer.restart()
            self._report("consume", checkpoint, error)
            await asyncio.sleep(self._consume_backoff.next_s())
        else:
            if messages:
                self._recover(self._consume_backoff)
            return messages
        # A worker that receives nothing never reaches the fence, so it could wait forever at a gap
        # that another worker has already closed.
        with translate_store_errors(self._conn):
            if await load_checkpoint(self._conn, self._shard) != checkpoint:
                raise FenceLost(f"shard {self._shard} is not at {checkpoint.next} any more")
        return ()

    async def _fold_all(
        self, checkpoint: Checkpoint, messages: tuple[StreamMessage, ...]
    ) -> Checkpoint:
        """Fold messages in as many transactions as the projection needs."""
        end = messages[-1].next
        while checkpoint.next < end:
            checkpoint = await self._backfill(checkpoint)
            messages = tuple(m for m in messages if m.next > checkpoint.next)
            checkpoint = await self._fold_with_retries(checkpoint, messages)
        return checkpoint

    def _take(
        self, checkpoint: Checkpoint, messages: tuple[StreamMessage, ...]
    ) -> tuple[StreamMessage, ...]:
        """Return the messages of the next transaction; single facts where a fold has failed."""
        part = self._pace.size.take(messages, checkpoint.next)
        if checkpoint.next >= self._pace.isolate_until or self._isolating is None:
            return part
        return self._pace.size.take(self._isolating.cut(part, checkpoint.next), checkpoint.next)

    async def _fold_with_retries(
        self, checkpoint: Checkpoint, messages: tuple[StreamMessage, ...]
    ) -> Checkpoint:
        """Fold once; after a failure retry forever, with half as much each time.

        A unit that cannot be folded alone is left out; see `services.chassis.projection.isolation`.
        Where the facts are not at fault, the shard stalls and reports it.
        """
        backoff = Backoff(max_s=MAX_RETRY_S)
        while True:
            try:
                batch = make_batch(checkpoint, self._take(checkpoint, messages))
                self._turns.note_fold()
                after = await self._fold_or_isolate(checkpoint, batch)
            except FenceLost:
                raise
            except Exception as error:
                if self._conn.is_closed():
                    raise
                self._report("fold", checkpoint, error)
                await asyncio.sleep(backoff.next_s())
            else:
                if after is not None:
                    self._recover(backoff)
                    return after

    async def _fold_or_isolate(self, checkpoint: Checkpoint, batch: Batch) -> Checkpoint | None:
        """Fold a batch; None where a smaller one is to be folded first, as this one raised."""
        isolating = self._isolating
        if isolating is not None and self._pace.is_hopeless(batch.first):
            return await self._fold_reduced(isolating, checkpoint, batch)
        began = time.monotonic()
        try:
            return await self._fold_once(checkpoint, batch)
        except (FenceLost, *_TRANSIENT) as error:
            if isinstance(error, StoreUnavailable):
                # Perhaps a time limit of the database, which a smaller batch keeps. A full disk is
                # not the fault of a fact, however long it took.
                took_s = time.monotonic() - began if is_session_lost(error) else 0.0
                self._pace.lose_session(batch.first, batch.next, took_s)
                log.warning("fold_lost_session", **self._place(batch), took_s=round(took_s, 3))
            raise
        except Exception as error:
            self._pace.narrow(batch.first, batch.next)
            if not self._is_smallest(batch):
                log.warning("fold_narrowed", **self._place(batch), error=type(error).__name__)
                return None
            if isolating is None:
                raise
            after = await self._fold_reduced(isolating, checkpoint, batch)
            if after is None:
                raise
            return after

    def _place(self, batch: Batch) -> dict[str, int]:
        return {"shard": self._shard, "first": batch.first, "next": batch.next}

    def _is_smallest(self, batch: Batch) -> bool:
        """Return whether the batch cannot be folded in smaller parts."""
        if self._isolating is None:
            return len(batch.messages) == 1
        return batch.next - batch.first == 1

    async def _fold_reduced(
        self, isolating: IsolatingFold, checkpoint: Checkpoint, batch: Batch
    ) -> Checkpoint | None:
        """Fold a single message without the units that raise; None where they are not at fault."""
        message = batch.messages[0]
        is_hopeless = self._pace.is_hopeless(batch.first)
        fold = isolating.fold_without_all if is_hopeless else isolating.fold_reduced
        async with self._fold_slots, self._fenced(checkpoint):
            reduced = await fold(checkpoint, message)
            if reduced is None:
                return None
            folded = reduced.result
            after, backlog = await save_checkpoint(
                self._conn, checkpoint.after(folded, batch.messages), folded.outputs, folded.deltas
            )
        for failed in reduced.failing:
            isolating.report(failed)
        await self._finish(checkpoint, after, backlog, folded.outputs)
        return after

    async def _fold_once(self, checkpoint: Checkpoint, batch: Batch) -> Checkpoint:
        async with self._fold_slots:
            began = time.perf_counter()
            async with self._fenced(checkpoint):
                fold = CpuTimed(self._projection.fold(self._conn, batch))
                folded = self._positions.add_to(await fold, batch)
                check_fold(batch, folded)
                after, backlog = await save_checkpoint(
                    self._conn,
                    checkpoint.after(folded, batch.messages),
                    folded.outputs,
                    folded.deltas,
                )
                saved = time.perf_counter()
            ended = time.perf_counter()
        took_s = ended - began
        self._worked_s += took_s
        self._share.note_batch(took_s)
        await self._finish(checkpoint, after, backlog, folded.outputs)
        self._pace.adapt(checkpoint.next, after.next, fold.cpu_s, took_s)
        if self._isolating is not None:
            self._isolating.note_folded(after.next - checkpoint.next)
        if fold.cpu_s > MAX_CPU_S:
            place = {"shard": self._shard, "first": checkpoint.next, "next": after.next}
            self._costs.report("transaction", fold.cpu_s, place)
        self._metrics.fold_duration_seconds.observe(took_s)
        self._metrics.fold_commit_seconds.observe(ended - saved)
        self._metrics.batch_size_facts.observe(after.folded_offset - checkpoint.folded_offset)
        return after

    @asynccontextmanager
    async def _fenced(self, checkpoint: Checkpoint) -> AsyncIterator[None]:
        """Open a transaction that holds the fence. Raises FenceLost, StoreUnavailable."""
        with translate_store_errors(self._conn):
            async with self._conn.transaction():
                if not await acquire_fence(self._conn, checkpoint):
                    raise FenceLost(f"shard {self._shard} is not at {checkpoint.next} any more")
                yield

    async def _finish(
        self,
        before: Checkpoint,
        after: Checkpoint,
        backlog: Backlog,
        outputs: Sequence[OutboxMessage],
    ) -> None:
        if self._note_backlog(backlog):
            self._callbacks.scheduled()
        self._positions.note(after, outputs)
        await self._callbacks.committed(after, outputs)
        facts = after.folded_offset - before.folded_offset
        self._metrics.facts_folded.labels(self._shard).inc(facts)
        self._metrics.checkpoint_offset.labels(self._shard).set(after.log_offset)
        self._log_time_us = after.log_time_us

    async def _check_backlog(self) -> None:
        """Load what there is to backfill: another shard may have scheduled it."""
        if self._backfilling is not None and not self._backlog:
            with translate_store_errors(self._conn):
                try:
                    self._note_backlog(await load_backlog(self._conn, self._shard))
                except asyncpg.UndefinedTableError:
                    raise FenceLost("the generation was dropped") from None

    def _note_backlog(self, backlog: Backlog) -> bool:
        """Remember what there is to backfill. Return whether there is a new request."""
        self._backlog = backlog
        is_new = backlog.newest_run > self._newest_run
        if is_new:
            # Its first step, in a small workspace the only one, waits for no messages.
            self._share.make_step_due()
        self._newest_run = max(self._newest_run, backlog.newest_run)
        if not backlog:
            self._share.end_step()
        return is_new

    async def _retry_failed(self, checkpoint: Checkpoint) -> Checkpoint:
        """Fold a unit that was left out, where one is due and no backfill reads the past."""
        isolating = self._isolating
        if isolating is None or self._backlog:
            return checkpoint
        with translate_store_errors(self._conn):
            due = await isolating.next_due()
        self._note_left_out(isolating.counts)
        if due is None:
            return checkpoint
        try:
            async with self._fold_slots, self._fenced(checkpoint):
                folded = await isolating.fold_late(due, checkpoint)
                if folded is None:
                    return checkpoint
                after, backlog = await save_checkpoint(
                    self._conn, checkpoint.after_step(folded.outputs), folded.outputs, folded.deltas
                )
        except FenceLost:
            raise
        except Exception as error:
            if self._conn.is_closed():
                raise
            with translate_store_errors(self._conn):
                await isolating.save_failure(due, error)
            return checkpoint
        log.info("failed_fact_folded", shard=self._shard, sequence=due.id.sequence)
        await self._finish(checkpoint, after, backlog, folded.outputs)
        return after

    def _note_left_out(self, counts: LeftOutCounts) -> None:
        self._metrics.failed_facts.labels(self._shard).set(counts.failed)
        self._metrics.parked_facts.labels(self._shard).set(counts.parked)
        self._callbacks.left_out(self._shard, counts)

    def _work_due_in(self) -> float:
        """Return the seconds after which a step, a retry or the position is due, or infinity."""
        retry_s = self._isolating.due_in_s if self._isolating and not self._backlog else math.inf
        step_s = self._share.due_in_s if self._backlog and self._backfilling else math.inf
        return min(step_s, retry_s, self._positions.due_in_s())

    async def _publish_position(self, checkpoint: Checkpoint) -> Checkpoint:
        """Publish how far the shard is, where that is due and no batch does it."""
        if self._positions.due_in_s() > 0.0:
            return checkpoint
        outputs = self._positions.of(checkpoint)
        async with self._fenced(checkpoint):
            after, backlog = await save_checkpoint(
                self._conn, checkpoint.after_step(outputs), outputs
            )
        await self._finish(checkpoint, after, backlog, outputs)
        return after

    async def _backfill(self, checkpoint: Checkpoint) -> Checkpoint:
        """Run one step where one is due; the messages of all workspaces go on between steps."""
        projection = self._backfilling
        if projection is None or not self._backlog or not self._share.begin_step():
            return checkpoint
        try:
            checkpoint = await self._step_once(projection, checkpoint)
        except FenceLost:
            raise
        except StepGaveWay:
            pass
        except Exception as error:
            if self._conn.is_closed():
                raise
            self._report("backfill", checkpoint, error)
            self._share.postpone(self._step_backoff.next_s())
        else:
            self._recover(self._step_backoff)
        finally:
            self._share.end_step()
        return checkpoint

    async def _step_once(self, projection: Backfilling, checkpoint: Checkpoint) -> Checkpoint:
        began = time.perf_counter()
        async with self._fenced(checkpoint):
            share = self._share
            step_run = CpuTimed(
                run_step(self._conn, projection, checkpoint, most=share.rows, pause=share.pause)
            )
            done = await step_run
        self._share.note_step(time.perf_counter() - began, step_run.cpu_s)
        if done is None:
            self._backlog = Backlog()
            return checkpoint
        step, after, backlog = done
        await self._finish(checkpoint, after, backlog, step.outputs)
        return after

    def _report(self, part: str, at: Checkpoint, error: Exception) -> None:
        """Log a failure; mark the shard as stalled if a retry cannot help."""
        name = type(error).__name__
        if isinstance(error, _TRANSIENT):
            log.warning("fold_failed", part=part, shard=self._shard, at=at.next, error=name)
            return
        log.error("fold_failed", part=part, shard=self._shard, at=at.next, exc_info=error)
        reason = error.reason if isinstance(error, OnefoldError) else name
        self._callbacks.stalled(self._shard, f"{reason} at {at.next}")

    def _recover(self, backoff: Backoff) -> None:
        """Report that the shard folds again if it failed before."""
        if backoff.failures:
            backoff.reset()
            self._callbacks.stalled(self._shard, "")
