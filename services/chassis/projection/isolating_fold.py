"""Folds a message without the units that raise, and folds those units later, on one connection."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol, cast

import asyncpg
import structlog

from services.chassis.messaging.stream import (
    Batch,
    FoldResult,
    FoldUnit,
    Isolating,
    Projection,
    StreamMessage,
    UnitId,
    Upstream,
)
from services.chassis.postgres.errors import is_transient
from services.chassis.projection import failed_facts as store
from services.chassis.projection.batch_size import FoldPace
from services.chassis.projection.checkpoint import Checkpoint, check_fold, make_batch
from services.chassis.projection.failed_facts import DueUnit, LeftOutCounts
from services.chassis.projection.isolation import (
    FailedUnit,
    FailureJudge,
    describe_error,
    find_failing,
)
from services.kernel.errors import RetryableError

log = structlog.get_logger(__name__)

#: Seconds between two checks whether a failed unit is due.
CHECK_S = 1.0


class IsolatingProjection(Projection, Isolating, Protocol):
    """A projection that can leave out units."""


def isolating_fold(
    shard: int, conn: asyncpg.Connection, projection: Projection, service: str, upstream: Upstream
) -> IsolatingFold | None:
    """Return the isolating fold of a shard; None for a projection that can leave out nothing."""
    if not isinstance(projection, Isolating):
        return None
    return IsolatingFold(shard, conn, cast(IsolatingProjection, projection), service, upstream)


class ReducedFold(NamedTuple):
    """A fold of a message, and the units that it left out."""

    result: FoldResult
    failing: list[FailedUnit]


class _Undo(Exception):
    """Rolls back a probe that folded."""


class IsolatingFold:
    """The failed units of one shard: finds them, leaves them out, retries them."""

    def __init__(
        self,
        shard: int,
        conn: asyncpg.Connection,
        projection: IsolatingProjection,
        service: str,
        upstream: Upstream,
    ) -> None:
        self._shard = shard
        self._conn = conn
        self._projection = projection
        self._service = service
        self._upstream = upstream
        self._judge = FailureJudge()
        #: When the units are next checked (monotonic clock).
        self._next_check = 0.0
        self._is_due = False
        #: As of the last check.
        self.counts = LeftOutCounts()

    @property
    def due_in_s(self) -> float:
        """The seconds after which a unit is due; infinity where none was at the last check."""
        return 0.0 if self._is_due else float("inf")

    def note_folded(self, count: int) -> None:
        """Count facts that were folded, against which failures are judged."""
        self._judge.add_folded(count)

    def cut(self, messages: Sequence[StreamMessage], at: int) -> tuple[StreamMessage, ...]:
        """Cut messages with several sequence numbers into one message each, from `at` on."""
        cut: list[StreamMessage] = []
        for message in messages:
            first = max(message.first, at)
            if message.next - first > 1:
                units = self._projection.units(message, first)
                cut += (replace(unit.message, life=message.life) for unit in units)
            else:
                cut.append(message)
        return tuple(cut)

    async def fold_reduced(self, at: Checkpoint, message: StreamMessage) -> ReducedFold | None:
        """Fold one message without the units that raise, in the open transaction of the fence.

        None where these units are not at fault, or are too many: then the shard is stalled.
        """
        units = self._projection.units(message, at.next)
        failing = await find_failing(units, lambda out: self._probe(at, message, out))
        if failing is None or self._judge.blames_service(failing):
            return None
        if not await store.has_room(self._conn, self._shard, failing):
            return None
        return await self._fold_without(at, message, failing, store.FIRST_RETRY_S)

    async def fold_without_all(self, at: Checkpoint, message: StreamMessage) -> ReducedFold:
        """Leave out all units of a message that ends the session; each is retried alone."""
        units = self._projection.units(message, at.next)
        failing = [FailedUnit(unit, "the fold ended the session") for unit in units]
        return await self._fold_without(at, message, failing, 0.0)

    async def _fold_without(
        self, at: Checkpoint, message: StreamMessage, failing: list[FailedUnit], retry_in_s: float
    ) -> ReducedFold:
        left_out = frozenset(one.unit.id for one in failing)
        batch = make_batch(at, (message,), left_out)
        folded = await self._projection.fold(self._conn, batch)
        check_fold(batch, folded)
        if folded.consumed_to == batch.first:
            # Only time has passed: the message comes again.
            return ReducedFold(folded, [])
        await store.add_failed(self._conn, self._shard, failing, retry_in_s=retry_in_s)
        return ReducedFold(folded, failing)

    async def _probe(
        self, at: Checkpoint, message: StreamMessage, left_out: frozenset[UnitId]
    ) -> Exception | None:
        """Fold a message in a savepoint and roll it back; return what it raised."""
        batch = make_batch(at, (message,), left_out)
        try:
            async with self._conn.transaction():
                while batch.first < batch.next:
                    folded = await self._projection.fold(self._conn, batch)
                    check_fold(batch, folded)
                    batch = replace(
                        batch, first=folded.consumed_to, next_output=at.after(folded).next_output
                    )
                raise _Undo
        except _Undo:
            return None
        except RetryableError:
            raise
        except Exception as error:
            if is_transient(error):
                raise
            return error

    async def next_due(self) -> DueUnit | None:
        """Return the failed unit to retry now, with its attempt counted; None where none is due."""
        now = time.monotonic()
        if not self._is_due and now < self._next_check:
            return None
        self._next_check = now + CHECK_S
        self.counts, self._is_due = await store.check_left_out(self._conn, self._shard)
        if not self._is_due:
            return None
        async with self._conn.transaction():
            due = await store.begin_due_attempt(self._conn, self._service, self._shard)
        self._is_due = due is not None
        return due

    async def start(self, pace: FoldPace) -> None:
        """Make all failed units due once a process: another version of it may fold them."""
        if not pace.has_retried:
            pace.has_retried = True
            await store.retry_failed(self._conn, self._shard)

    async def fold_late(self, due: DueUnit, at: Checkpoint) -> FoldResult | None:
        """Fold a unit that was left out, in the open transaction of the fence.

        None where a rebuild is in progress, or the unit was parked or folded meanwhile.
        """
        if not await store.lock_due(self._conn, self._service, self._shard, due.id):
            return None
        message = await self._message_of(due)
        units = self._projection.units(message, due.id.sequence)
        batch = Batch(
            shard=self._shard,
            first=due.id.sequence,
            next=due.id.sequence + 1,
            messages=(message,),
            next_output=at.next_output,
            log_offset=at.folded_offset,
            log_time_us=at.log_time_us,
            left_out=frozenset(unit.id for unit in units) - {due.id},
            is_late=True,
        )
        folded = await self._projection.fold(self._conn, batch)
        check_fold(batch, folded)
        await store.delete_failed(self._conn, self._shard, due.id)
        return folded

    async def _message_of(self, due: DueUnit) -> StreamMessage:
        first = due.id.sequence
        if due.payload is not None:
            return StreamMessage(first, first + 1, due.payload)
        async for message in self._upstream.read(self._shard, first, first + 1):
            for unit in self._projection.units(message, first):
                if unit.id == due.id:
                    return unit.message
        raise LookupError(f"upstream has no unit {first} of shard {self._shard}")

    async def save_failure(self, due: DueUnit, error: Exception) -> None:
        """Save that an attempt failed."""
        described = describe_error(error)
        await store.save_error(self._conn, self._shard, due.id, described)
        self.report(FailedUnit(FoldUnit(due.id, due.workspace_id, b""), described), due.attempts)

    def report(self, failed: FailedUnit, attempts: int = 1) -> None:
        """Log a unit that is left out: where it is, and nothing of its content."""
        self._next_check = 0.0
        log.error(
            "fact_failed",
            shard=self._shard,
            sequence=failed.unit.id.sequence,
            workspace=failed.unit.workspace_id,
            error=failed.error,
            attempts=attempts,
        )
