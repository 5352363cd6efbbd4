"""One worker folds one shard, as long as it holds it: take in, fold, commit, acknowledge, tell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg
import structlog

from services.chassis.messaging.stream import Batch, Folded, Message, Output, Projection
from services.chassis.postgres.database import store_errors
from services.chassis.projection.checkpoint import (
    Position,
    batch_at,
    load_position,
    save_position,
    take_fence,
)
from services.chassis.projection.consumer import Intake
from services.chassis.runtime.telemetry import Metrics
from services.kernel.errors import StoreUnavailable, Unavailable

log = structlog.get_logger(__name__)

_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
#: What passes by itself, and is no fault of the shard: a peer that is away, workers in each other's
#: way.
_PASSING = (Unavailable, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
#: Seconds for which messages may gather while the last ones are folded already.
LONGEST_REST = 0.2
#: Batches of so many places cost too much for each of them: there is load, and too little gathers.
SMALL_BATCHES = range(100, 1_000)
#: Folds without progress after which a projection is taken to be stuck.
MOST_IDLE_FOLDS = 1_000


class FenceLost(Exception):
    """Somebody else works the shard now, or another generation is live."""


class FoldBroken(Exception):
    """What a fold answered cannot be: a fault of the projection."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a worker tells while it works."""

    #: A commit moved the position; its outputs are to be relayed.
    saved: Callable[[Position, Sequence[Output]], Awaitable[None]]
    #: The worker cannot go on, and why; "" when it can again.
    fault: Callable[[int, str], None]


class Worker:
    """Folds one shard on the connection that holds its lock."""

    def __init__(
        self,
        shard: int,
        conn: asyncpg.Connection,
        projection: Projection,
        intake: Intake,
        told: Told,
        turns: asyncio.Semaphore,
        metrics: Metrics | None = None,
    ) -> None:
        """`turns`: so many workers of this process fold at a time."""
        self._shard = shard
        self._conn = conn
        self._projection = projection
        self._intake = intake
        self._told = told
        self._turns = turns
        self._metrics = metrics
        #: Up to here messages are folded one by one: among them one failed.
        self._careful_until = 0
        self._log_time_us = 0
        #: Seconds that the last messages took, without the waiting for a turn.
        self._worked_s = 0.0

    async def run(self) -> None:
        """Works until cancelled. Raises FenceLost, StoreUnavailable."""
        with store_errors():
            position = await load_position(self._conn, self._shard)
        if position is None:
            raise FenceLost("the generation is closed")
        await self._told.saved(position, ())
        self._log_time_us = position.log_time_us
        with self._lag_told():
            while True:
                messages = await self._take_in(position)
                before, self._worked_s = position.next, 0.0
                position = await self._fold_all(position, messages)
                await self._intake.ack()
                await self._rest(position, position.next - before)

    async def _rest(self, at: Position, taken: int) -> None:
        """Lets messages gather for as long as the last ones took, or twice as long.

        A transaction costs much whatever is in it. So batches grow with the load, and one message
        alone is still folded at once.
        """
        if not self._intake.is_full(at.next):
            times = 2 if taken in SMALL_BATCHES else 1
            await asyncio.sleep(min(times * self._worked_s, LONGEST_REST))

    @contextmanager
    def _lag_told(self) -> Iterator[None]:
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

    async def _take_in(self, position: Position) -> tuple[Message, ...]:
        failures = 0
        while True:
            try:
                messages = await self._intake.next(position.next)
            except Exception as error:
                await self._intake.restart()
                await self._pause("intake", position, error, failures)
                await self._stay(position)
                failures += 1
            else:
                if failures:
                    self._told.fault(self._shard, "")
                return messages

    async def _stay(self, position: Position) -> None:
        """Raises FenceLost where this state is no longer the one to go on with.

        Who takes nothing in comes by no fence, and would stand before a gap that was closed.
        """
        with store_errors():
            if await load_position(self._conn, self._shard) != position:
                raise FenceLost(f"shard {self._shard} does not stand at {position.next}")

    async def _fold_all(self, position: Position, messages: tuple[Message, ...]) -> Position:
        """Folds messages in as many transactions as the projection asks for."""
        until, idle = messages[-1].next, 0
        while position.next < until:
            messages = tuple(m for m in messages if m.next > position.next)
            careful = position.next < self._careful_until
            before, position = (
                position,
                await self._fold_surely(position, messages[:1] if careful else messages),
            )
            idle = 0 if position != before else idle + 1
            if idle > MOST_IDLE_FOLDS:
                raise FoldBroken("the projection takes nothing in")
        return position

    async def _fold_surely(self, position: Position, messages: tuple[Message, ...]) -> Position:
        """Folds once; where that fails, tries again, message by message, for ever.

        Nothing is left out: a shard that cannot go on stands still and says so.
        """
        failures = 0
        while True:
            batch = batch_at(position, messages)
            try:
                after = await self._fold_once(position, batch)
            except (FenceLost, StoreUnavailable):
                raise
            except Exception as error:
                if not isinstance(error, _PASSING):
                    self._careful_until = max(self._careful_until, batch.next)
                    messages = messages[:1]
                await self._pause("fold", position, error, failures)
                failures += 1
            else:
                if failures:
                    self._told.fault(self._shard, "")
                return after

    async def _fold_once(self, position: Position, batch: Batch) -> Position:
        async with self._turns:
            began = time.perf_counter()
            with store_errors():
                folded, after = await self._commit(position, batch)
            took_s = time.perf_counter() - began
        self._worked_s += took_s
        await self._told.saved(after, folded.outputs)
        self._measure(position, after, took_s)
        return after

    async def _commit(self, position: Position, batch: Batch) -> tuple[Folded, Position]:
        async with self._conn.transaction():
            if not await take_fence(self._conn, position):
                raise FenceLost(f"shard {self._shard} does not stand at {position.next}")
            folded = await self._projection.fold(self._conn, batch)
            _check(batch, folded)
            after = position.after(folded)
            await save_position(self._conn, after, folded.outputs, folded.deltas)
        return folded, after

    async def _pause(self, part: str, at: Position, error: Exception, failures: int) -> None:
        name = type(error).__name__
        if isinstance(error, _PASSING):
            log.warning("turn_failed", part=part, shard=self._shard, at=at.next, error=name)
        else:
            log.error(
                "turn_failed",
                part=part,
                shard=self._shard,
                at=at.next,
                attempt=failures + 1,
                exc_info=error,
            )
            self._told.fault(self._shard, f"{name} at {at.next}")
        await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])

    def _measure(self, before: Position, after: Position, seconds: float) -> None:
        metrics = self._metrics
        if metrics is None:
            return
        facts = after.log_offset - before.log_offset
        metrics.facts_folded.labels(self._shard).inc(facts)
        metrics.batch_facts.observe(facts)
        metrics.fold_seconds.observe(seconds)
        metrics.log_offset.labels(self._shard).set(after.log_offset)
        self._log_time_us = after.log_time_us


def _check(batch: Batch, folded: Folded) -> None:
    """Raises FoldBroken where a fold went beyond its batch, or its outputs leave a gap."""
    if not batch.first <= folded.consumed_to <= batch.next:
        raise FoldBroken(f"consumed to {folded.consumed_to} of [{batch.first}, {batch.next})")
    at = batch.next_output
    for output in folded.outputs:
        if output.first != at or output.next <= at:
            raise FoldBroken(f"an output covers [{output.first}, {output.next}) and not {at}")
        at = output.next
