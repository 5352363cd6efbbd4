"""Runs what plays journeys beside the folds: the player, and the publisher of transitions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

from services.activation.projection.journeys.knowledge import Upstream
from services.activation.projection.journeys.player import JourneyPlayer
from services.activation.projection.journeys.publisher import TransitionPublisher
from services.activation.store.effects import DestinationKey
from services.chassis.postgres.database import Database
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient
from services.chassis.runtime.tasks import background


class JourneyEngine:
    """Plays journeys. `on_effects` is called with the destinations that got effects to send."""

    def __init__(
        self,
        database: Database,
        runner: ProjectionRunner,
        log: LogClient,
        upstream: Upstream,
        shards: int,
        on_effects: Callable[[Collection[DestinationKey]], None],
    ) -> None:
        self.player = JourneyPlayer(database, runner, log, upstream, shards)
        self.publisher = TransitionPublisher(
            database, log, runner.service, shards, on_effects, self.player.transitions
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Play until the scope ends."""
        async with background(self.player.run(), self.publisher.run()):
            yield
