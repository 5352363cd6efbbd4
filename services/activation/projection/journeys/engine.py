"""Runs what plays journeys beside the folds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

from services.activation.projection.journeys.knowledge import JourneyReads
from services.activation.projection.journeys.own_effects import OwnEffects
from services.activation.projection.journeys.player import JourneyPlayer
from services.activation.projection.journeys.publisher import TransitionPublisher
from services.activation.projection.journeys.scheduler import JourneyScheduler
from services.activation.projection.journeys.upkeep import JourneyMetrics, JourneyUpkeep
from services.activation.store.effects import DestinationKey
from services.chassis.postgres.database import Database
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient
from services.chassis.runtime.tasks import background
from services.chassis.runtime.telemetry import Metrics


class JourneyEngine:
    """Plays journeys. `on_effects` is called with the destinations that got effects to send."""

    def __init__(
        self,
        database: Database,
        runner: ProjectionRunner,
        log: LogClient,
        upstream: JourneyReads,
        shards: int,
        on_effects: Callable[[Collection[DestinationKey]], None],
        metrics: Metrics | None = None,
    ) -> None:
        self.player = JourneyPlayer(database, runner, log, upstream, shards)
        released = asyncio.Event()

        def release(queues: Collection[DestinationKey]) -> None:
            released.set()
            on_effects([queue for queue in queues if queue.destination_id])

        self.publisher = TransitionPublisher(
            database, log, runner.service, shards, release, self.player.transitions
        )
        self.upkeep = JourneyUpkeep(database, JourneyMetrics(metrics or Metrics(runner.service)))
        self.scheduler = JourneyScheduler(database, upstream, self.player.wake)
        self.own_effects = OwnEffects(database, log, upstream, runner.service, released)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Play until the scope ends."""
        own = self.own_effects.run(), self.scheduler.run(), self.upkeep.run()
        async with background(self.player.run(), self.publisher.run(), *own):
            yield
