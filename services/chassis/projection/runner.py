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

from services.chassis.messaging.jetstream import Bus
from services.chassis.messaging.relay import Outbox, Relay
from services.chassis.messaging.stream import Output, Projection, Upstream
from services.chassis.messaging.subscription import Tail
from services.chassis.postgres.database import Database, acquire
from services.chassis.postgres.leases import Leases
from services.chassis.projection.checkpoint import Position, load_positions
from services.chassis.projection.consumer import SILENCE, Intake, Limits
from services.chassis.projection.progress import Reached
from services.chassis.projection.worker import FenceLost, Told, Worker
from services.chassis.runtime.tasks import beside
from services.chassis.runtime.telemetry import Metrics
from services.kernel.errors import StoreUnavailable
from services.kernel.tokens import Token

log = structlog.get_logger(__name__)

__all__ = ["Limits", "ProjectionRunner", "ShardState"]

DEFAULT_LIMITS = Limits()
#: Seconds between two looks at which generation is live.
GENERATION_WATCH = 1.0
#: Shards that are folded at a time: one computes while the store is at work for another. More would
#: all take longer, and none be done sooner.
TURNS = 2


class ShardsStandStill(Exception):
    """Shards cannot go on; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class ShardState:
    """What is known about a shard."""

    shard: int
    #: Whether a worker of any replica holds it now.
    held: bool
    log_offset: int
    log_time_us: int
    #: What keeps the worker of this process from going on: an error's name and place; else "".
    fault: str = ""


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
        bus: Bus,
        upstream: Upstream,
        upstream_subject: str,
        subject: str | None,
        shards: int,
        limits: Limits = DEFAULT_LIMITS,
        outbox_retention: float = 86_400.0,
        silence: float = SILENCE,
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
        self._on_saved = on_saved
        outbox = Outbox(database.pool, retention=outbox_retention)
        self._relay = Relay(bus, subject, outbox) if subject else None
        self._leases = Leases(database, service, shards, self._work)
        self._reached = Reached(shards, self._load_positions, lambda: self._leases.held)
        self._turns = asyncio.Semaphore(TURNS)
        self._faults: dict[int, str] = {}

    @property
    def held(self) -> frozenset[int]:
        """The shards that this replica holds."""
        return self._leases.held

    async def run(self) -> None:
        """Works the shards that fall to this replica, until cancelled. Errors are retried."""
        async with beside(self._watch_generation()):
            await self._leases.run()

    async def wait_for(self, token: Token, timeout: float) -> Token:
        """Waits until the service, in whichever replica, has reached `token`; answers the state.

        `timeout` in seconds. Raises TokenNotReached, StoreUnavailable, or InvalidField where the
        token names a shard that does not exist.
        """
        return await self._reached.wait_for(token, timeout)

    async def token(self) -> Token:
        """The state reached by the service, in whichever replica. Raises StoreUnavailable."""
        return await self._reached.look()

    async def status(self) -> list[ShardState]:
        """Every shard, in order. Raises StoreUnavailable."""
        async with acquire(self._database.pool) as conn:
            positions = await load_positions(conn)
            taken = await self._leases.taken(conn)
        return [
            ShardState(
                *(p.shard, p.shard in taken, p.log_offset, p.log_time_us),
                self._faults.get(p.shard, ""),
            )
            for p in positions
        ]

    def faults(self) -> Mapping[int, str]:
        """Shards held here that cannot go on, and why; empty when all is well."""
        return dict(self._faults)

    async def check(self) -> None:
        """For /readyz: raises ShardsStandStill where a shard held here cannot go on."""
        if self._faults:
            raise ShardsStandStill(
                "; ".join(f"shard {shard}: {why}" for shard, why in sorted(self._faults.items()))
            )

    async def _work(self, shard: int, conn: asyncpg.Connection) -> None:
        place = f"{self._upstream_subject}.{shard}"
        async with Tail(self._bus, place, f"{self.service}-{shard}") as tail:
            intake = Intake(shard, tail, self._upstream, self._limits, silence=self._silence)
            told = Told(self._tell_saved, self._tell_fault)
            worker = Worker(shard, conn, self._projection, intake, told, self._turns, self._metrics)
            try:
                await self._work_and_relay(shard, worker)
            except FenceLost as error:
                switched = await self._database.refresh()
                log.info("fence_lost", shard=shard, switched=switched, why=str(error))
            finally:
                self._faults.pop(shard, None)
                await intake.restart()

    async def _work_and_relay(self, shard: int, worker: Worker) -> None:
        if self._relay is None:
            await worker.run()
            return
        async with beside(self._relay.run_shard(shard)):
            await worker.run()

    async def _tell_saved(self, position: Position, outputs: Sequence[Output]) -> None:
        self._reached.note(position.shard, position.log_offset)
        if self._on_saved is not None:
            self._on_saved(position.shard)
        if self._relay is not None and outputs:
            await self._relay.offer(position.shard, outputs)

    def _tell_fault(self, shard: int, fault: str) -> None:
        if fault:
            self._faults[shard] = fault
        else:
            self._faults.pop(shard, None)

    async def _load_positions(self) -> list[Position]:
        async with acquire(self._database.pool) as conn:
            return await load_positions(conn)

    async def _watch_generation(self) -> None:
        """For replicas that hold no shard and so lose no fence."""
        while True:
            await asyncio.sleep(GENERATION_WATCH)
            try:
                if await self._database.refresh():
                    log.info("generation_switched", generation=self._database.generation)
            except StoreUnavailable:
                log.debug("generation_not_read")
