"""The projection runner: batches in order, state, outputs and position in one transaction.

One worker a shard, in whichever replica holds the shard (see `leases`). It takes messages from the
bus, reads from upstream what the bus does not have, folds, commits, acknowledges, hands the outputs
to the relay and wakes those who wait for a token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import asyncpg
import structlog

from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.messaging.relay import Outbox, OutboxRelay
from services.chassis.messaging.stream import OutboxMessage, Projection, Upstream
from services.chassis.messaging.subscription import PullSubscription
from services.chassis.postgres.database import Database, acquire
from services.chassis.postgres.leases import Leases
from services.chassis.projection.checkpoint import Checkpoint, load_checkpoints
from services.chassis.projection.consumer import GAP_CHECK_S, Limits, ShardConsumer
from services.chassis.projection.progress import ProgressTracker
from services.chassis.projection.worker import FenceLost, ShardWorker, WorkerCallbacks
from services.chassis.runtime.tasks import task_scope
from services.chassis.runtime.telemetry import Metrics
from services.kernel.errors import StoreUnavailable
from services.kernel.tokens import Token

log = structlog.get_logger(__name__)

__all__ = ["Limits", "ProjectionRunner", "ShardState"]

DEFAULT_LIMITS = Limits()
#: Seconds between two looks at which generation is live.
GENERATION_POLL_S = 1.0
#: Shards that are folded at a time: one computes while the store is at work for another. More would
#: all take longer, and none be done sooner.
CONCURRENT_FOLDS = 2


class StalledShards(Exception):
    """Shards cannot go on; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class ShardState:
    """What is known about a shard."""

    shard: int
    #: Whether a worker of any replica holds it now.
    leased: bool
    log_offset: int
    log_time_us: int
    #: What keeps the worker of this process from going on: an error's name and place; else "".
    error: str = ""


class ProjectionRunner:
    """Folds an upstream into the state of a service, shard by shard.

    `database`: open (see `Database`). `upstream`: where missing messages are read.
    `upstream_subject`: what is heard, such as `onefold.log`; the shard is appended to it.
    `subject`: what is said, such as `onefold.identity`; None for a service that says nothing.
    `silence`: seconds without a message after which upstream is asked whether one was missed.
    `on_saved`: called with the shard after each commit, when everybody can see what was folded.
    Use: `async with beside(runner.run()):`; cancel it to stop at once, nothing half done stays.
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
        silence: float = GAP_CHECK_S,
        metrics: Metrics | None = None,
        on_saved: Callable[[int], None] | None = None,
    ) -> None:
        self.service = service
        self.shards = shards
        self._projection = projection
        self._database = database
        self._bus = bus
        self._upstream = upstream
        self._upstream_subject = upstream_subject
        self._limits = limits
        self._silence = silence
        self._metrics = metrics
        self._on_committed = on_saved
        outbox = Outbox(database.pool, retention=outbox_retention)
        self._relay = OutboxRelay(bus, subject, outbox) if subject else None
        self._leases = Leases(database, service, shards, self._work)
        self._progress = ProgressTracker(
            shards, self._load_checkpoints, lambda: self._leases.leased
        )
        self._fold_slots = asyncio.Semaphore(CONCURRENT_FOLDS)
        self._stalled: dict[int, str] = {}
        self._workers: set[ShardWorker] = set()

    @property
    def leased(self) -> frozenset[int]:
        """The shards that this replica holds."""
        return self._leases.leased

    async def run(self) -> None:
        """Works the shards that fall to this replica, until cancelled. Errors are retried."""
        async with task_scope(self._watch_generation()):
            await self._leases.run()

    async def wait_for(self, token: Token, timeout: float) -> Token:
        """Waits until the service, in whichever replica, has reached `token`; answers the state.

        `timeout` in seconds. Raises TokenNotReached, StoreUnavailable, or InvalidField where the
        token names a shard that does not exist.
        """
        return await self._progress.wait_for(token, timeout)

    async def token(self) -> Token:
        """The state reached by the service, in whichever replica. Raises StoreUnavailable."""
        return await self._progress.refresh()

    async def status(self) -> list[ShardState]:
        """Every shard, in order. Raises StoreUnavailable."""
        async with acquire(self._database.pool) as conn:
            positions = await load_checkpoints(conn)
            taken = await self._leases.leased_by_anyone(conn)
        return [
            ShardState(
                *(p.shard, p.shard in taken, p.log_offset, p.log_time_us),
                self._stalled.get(p.shard, ""),
            )
            for p in positions
        ]

    def stalled(self) -> Mapping[int, str]:
        """Shards held here that cannot go on, and why; empty when all is well."""
        return dict(self._stalled)

    async def check(self) -> None:
        """For /readyz: raises ShardsStandStill where a shard held here cannot go on."""
        if self._stalled:
            raise StalledShards(
                "; ".join(f"shard {shard}: {why}" for shard, why in sorted(self._stalled.items()))
            )

    async def _work(self, shard: int, conn: asyncpg.Connection) -> None:
        place = f"{self._upstream_subject}.{shard}"
        async with PullSubscription(self._bus, place, f"{self.service}-{shard}") as tail:
            intake = ShardConsumer(shard, tail, self._upstream, self._limits, silence=self._silence)
            told = WorkerCallbacks(self._publish_commit, self._set_stalled, self._wake_workers)
            worker = ShardWorker(
                shard, conn, self._projection, intake, told, self._fold_slots, self._metrics
            )
            self._workers.add(worker)
            try:
                await self._work_and_relay(shard, worker)
            except FenceLost as error:
                switched = await self._database.refresh()
                log.info("fence_lost", shard=shard, switched=switched, why=str(error))
            finally:
                self._workers.discard(worker)
                self._stalled.pop(shard, None)
                await intake.restart()

    async def _work_and_relay(self, shard: int, worker: ShardWorker) -> None:
        if self._relay is None:
            await worker.run()
            return
        async with task_scope(self._relay.run_shard(shard)):
            await worker.run()

    async def _publish_commit(self, position: Checkpoint, outputs: Sequence[OutboxMessage]) -> None:
        self._progress.advance(position.shard, position.log_offset)
        if self._on_committed is not None:
            self._on_committed(position.shard)
        if self._relay is not None and outputs:
            await self._relay.enqueue(position.shard, outputs)

    def _set_stalled(self, shard: int, fault: str) -> None:
        if fault:
            self._stalled[shard] = fault
        else:
            self._stalled.pop(shard, None)

    def _wake_workers(self) -> None:
        """Have every worker of this process check for backfills."""
        for worker in self._workers:
            worker.wake()

    async def _load_checkpoints(self) -> list[Checkpoint]:
        async with acquire(self._database.pool) as conn:
            return await load_checkpoints(conn)

    async def _watch_generation(self) -> None:
        """For replicas that hold no shard and so lose no fence."""
        while True:
            await asyncio.sleep(GENERATION_POLL_S)
            try:
                if await self._database.refresh():
                    log.info("generation_switched", generation=self._database.generation)
            except StoreUnavailable:
                log.debug("generation_not_read")
