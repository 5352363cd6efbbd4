"""Runs a projection: one worker per shard, in the replica that leases the shard.

A worker consumes messages from the bus, reads upstream what the bus lacks, folds them and commits
state, outputs and checkpoint in one transaction. Then it acknowledges the messages, passes the
outputs to the relay and wakes callers that wait for a token.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import asyncpg
import structlog

from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.messaging.lives import begin_life
from services.chassis.messaging.outbox import Outbox
from services.chassis.messaging.relay import OutboxRelay
from services.chassis.messaging.stream import (
    Completion,
    OutboxMessage,
    Projection,
    Remembering,
    Upstream,
)
from services.chassis.messaging.subscription import PullSubscription
from services.chassis.postgres.database import Database, acquire
from services.chassis.postgres.leases import Leases
from services.chassis.projection.backfill_share import StepTurns
from services.chassis.projection.batch_size import FoldPace
from services.chassis.projection.callbacks import WorkerCallbacks
from services.chassis.projection.checkpoint import Checkpoint, FenceLost, load_checkpoints
from services.chassis.projection.consumer import GAP_CHECK_S, Limits, ShardConsumer
from services.chassis.projection.failed_facts import LeftOutCounts
from services.chassis.projection.progress import ProgressTracker
from services.chassis.projection.shard_watch import ShardWatch
from services.chassis.projection.worker import ShardWorker
from services.chassis.runtime.tasks import clip_to_deadline, task_scope
from services.chassis.runtime.telemetry import Metrics
from services.kernel.tokens import Token

log = structlog.get_logger(__name__)

DEFAULT_LIMITS = Limits()
#: Seconds between two checks which generation is live.
GENERATION_POLL_S = 1.0
#: Shards that are folded at a time: one computes while the store works for another. With more, all
#: take longer and none finishes sooner.
CONCURRENT_FOLDS = 2
#: Seconds to wait for a token where the caller sets no deadline.
REACH_TIMEOUT_S = 30.0


class StalledShards(Exception):
    """Shards are stalled; the message lists them with the reasons."""


class ProjectionRunner:
    """Folds an upstream into the state of a service, shard by shard.

    `upstream`: where missing messages are read. `upstream_subject`: the subject to consume, such as
    `onefold.log`; the shard is appended. `subject`: the subject to publish on; None for a service
    that publishes nothing. `outbox_retention` and `gap_check_s` are seconds. `completion`: adds to
    outputs what the outbox does not store of them. `on_committed`: called with the shard after each
    commit, when its writes are visible.
    Use: `async with background(runner.run()):`; cancelling it rolls back open transactions.
    """

    def __init__(
        self,
        service: str,
        projection: Projection,
        *,
        database: Database,
        bus: JetStreamBus,
        upstream: Upstream,
        upstream_subject: str,
        subject: str | None,
        shards: int,
        limits: Limits = DEFAULT_LIMITS,
        outbox_retention: float = 86_400.0,
        completion: Completion | None = None,
        gap_check_s: float = GAP_CHECK_S,
        metrics: Metrics | None = None,
        on_committed: Callable[[int], None] | None = None,
    ) -> None:
        self.service = service
        self.shards = shards
        self._projection = projection
        self._database = database
        self._bus = bus
        self._upstream = upstream
        self._upstream_subject = upstream_subject
        self._limits = limits
        self._gap_check_s = gap_check_s
        self._metrics = metrics or Metrics(service)
        self._on_committed = on_committed
        self.outbox = Outbox(database.pool, outbox_retention, completion)
        self._relay = OutboxRelay(bus, subject, self.outbox) if subject else None
        self._leases = Leases(database, service, shards, self._work)
        self._progress = ProgressTracker(shards, self._load_checkpoints, lambda: self.leased)
        self._watch = ShardWatch(self.status, lambda: self.leased, self._metrics)
        self._fold_slots = asyncio.Semaphore(CONCURRENT_FOLDS)
        self._step_turns = StepTurns()
        self._paces: defaultdict[int, FoldPace] = defaultdict(FoldPace)
        #: The failed and parked facts of the shards that are leased here.
        self.left_out: dict[int, LeftOutCounts] = {}
        #: The stalled shards that are leased here, with the reasons.
        self.stalled: dict[int, str] = {}
        self._workers: set[ShardWorker] = set()

    @property
    def leased(self) -> set[int]:
        return self._leases.leased

    async def run(self) -> None:
        """Fold the shards that are assigned to this replica, until cancelled; retry errors."""
        async with task_scope(self._watch_generation()), task_scope(self._watch.run()):
            await self._leases.run()

    async def wait_for(self, token: Token, timeout: float) -> Token:
        """Wait until the service, in whichever replica, has reached `token`; return its state.

        `timeout` in seconds. Raises TokenNotReached, StoreUnavailable, or InvalidField where the
        token names a shard that does not exist.
        """
        return await self._progress.wait_for(token, timeout)

    async def catch_up(self, at_least: Token | None) -> None:
        """Wait for a token, if there is one, as `reach` does; else nothing is read."""
        if at_least is not None:
            await self.reach(at_least)

    async def reach(self, token: Token | None) -> Token:
        """Wait for `token`, if there is one, as long as the current call may take; see `wait_for`.

        Return the state that reads now see.
        """
        if token is None:
            return await self.token()
        # A little less than the deadline of the caller, so that the response still arrives.
        return await self.wait_for(token, clip_to_deadline(REACH_TIMEOUT_S) * 0.9)

    async def token(self) -> Token:
        """Load the state reached by the service, all replicas included. Raises StoreUnavailable."""
        return await self._progress.refresh()

    async def status(self) -> list[tuple[Checkpoint, bool]]:
        """Return the checkpoint of every shard, and whether any replica works the shard.

        Raises StoreUnavailable.
        """
        async with acquire(self._database.pool) as conn:
            checkpoints = await load_checkpoints(conn)
            leased = await self._leases.leased_by_anyone(conn)
        return [(checkpoint, checkpoint.shard in leased) for checkpoint in checkpoints]

    async def check(self) -> None:
        """Raise StalledShards if a shard leased here, or nowhere, is stalled; see /readyz."""
        if stalled := self._watch.stalled() | self.stalled:
            reasons = (f"shard {shard}: {why}" for shard, why in sorted(stalled.items()))
            raise StalledShards("; ".join(reasons))

    def notes(self) -> dict[str, object]:
        """Return the failed and parked facts by shard, for /readyz: they make no shard stall."""
        failed = {str(s): c.failed for s, c in sorted(self.left_out.items()) if c.failed}
        parked = {str(s): c.parked for s, c in sorted(self.left_out.items()) if c.parked}
        return {"failed_facts": failed, "parked_facts": parked}

    async def _work(self, shard: int, conn: asyncpg.Connection) -> None:
        if isinstance(self._projection, Remembering):
            self._projection.forget(shard)
        life = await begin_life(conn, shard) if self._relay else 0
        subject, durable = f"{self._upstream_subject}.{shard}", f"{self.service}-{shard}"
        async with PullSubscription(self._bus, subject, durable) as subscription:
            consumer = ShardConsumer(
                shard, subscription, self._upstream, self._limits, gap_check_s=self._gap_check_s
            )
            worker = ShardWorker(
                shard,
                conn,
                self._projection,
                consumer,
                WorkerCallbacks(
                    partial(self._publish_commit, life),
                    self._set_stalled,
                    self._wake_workers,
                    self._set_left_out,
                ),
                self._fold_slots,
                self._step_turns,
                self._metrics,
                self._paces[shard],
            )
            self._workers.add(worker)
            try:
                if self._relay is None:
                    await worker.run()
                else:
                    async with task_scope(self._relay.run_shard(shard)):
                        await worker.run()
            except FenceLost as error:
                switched = await self._database.refresh()
                log.info("fence_lost", shard=shard, switched=switched, reason=str(error))
            finally:
                self._workers.discard(worker)
                self.stalled.pop(shard, None)
                self.left_out.pop(shard, None)
                await consumer.restart()

    async def _publish_commit(
        self, life: int, checkpoint: Checkpoint, outputs: Sequence[OutboxMessage]
    ) -> None:
        self._progress.advance(checkpoint.shard, checkpoint.log_offset)
        if self._on_committed is not None:
            self._on_committed(checkpoint.shard)
        if self._relay is not None and outputs:
            committed = [replace(output, life=life) for output in outputs]
            await self._relay.enqueue(checkpoint.shard, committed)

    def _set_stalled(self, shard: int, reason: str) -> None:
        if reason:
            self.stalled[shard] = reason
        else:
            self.stalled.pop(shard, None)

    def _set_left_out(self, shard: int, counts: LeftOutCounts) -> None:
        if counts.failed or counts.parked:
            self.left_out[shard] = counts
        else:
            self.left_out.pop(shard, None)

    def _wake_workers(self) -> None:
        """Make every worker of this process check for backfills."""
        for worker in self._workers:
            worker.wake()

    async def _load_checkpoints(self) -> list[Checkpoint]:
        async with acquire(self._database.pool) as conn:
            return await load_checkpoints(conn)

    async def _watch_generation(self) -> None:
        """Follow a switch of generations where no shard is leased, so no fence can be lost."""
        while True:
            await asyncio.sleep(GENERATION_POLL_S)
            try:
                if await self._database.refresh():
                    log.info("generation_switched", generation=self._database.generation)
            except Exception as error:
                log.debug("generation_unknown", error=type(error).__name__)
