"""The dispatcher: keeps a courier for every destination, and calls it when something is due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import structlog

from services.activation.delivery.worker import Courier, Tools
from services.activation.domain.model import Destination
from services.activation.store import postgres as store
from services.activation.store.postgres import Place
from services.chassis.postgres.database import acquire

#: How often is looked what is due, seconds: other replicas write effects and definitions, too.
LOOK_EVERY = 1.0

log = structlog.get_logger(__name__)


class Dispatcher:
    """Sends what is due, for every destination.

    `drain_s`: how long attempts in flight may go on when the scope ends, seconds.
    """

    def __init__(self, tools: Tools, *, drain_s: float) -> None:
        self._tools = tools
        self._drain_s = drain_s
        self._news = asyncio.Event()
        self._couriers: dict[Place, tuple[Courier, asyncio.Task[None]]] = {}

    def wake(self, places: Collection[Place]) -> None:
        """There may be something to send at these places."""
        for place in places:
            if place in self._couriers:
                self._couriers[place][0].wake()
            else:
                self._news.set()

    def reload(self) -> None:
        """There may be other definitions."""
        self._news.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send inside the scope; at its end let what is in flight end."""
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(self._keep(group))
            try:
                yield
            finally:
                keeping.cancel()
                await self._drain()

    async def _keep(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._news.clear()
            try:
                await self._look(group)
            except Exception as error:
                log.warning("destinations_not_loaded", error=type(error).__name__)
                await asyncio.sleep(LOOK_EVERY)
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _look(self, group: asyncio.TaskGroup) -> None:
        """Take in what is defined, and call the couriers for whom something is due."""
        async with acquire(self._tools.database.pool) as conn:
            for destination in await store.load_destinations(conn):
                self._take_in(group, destination)
            due = await store.due_in(conn, self._couriers.keys())
        for place, seconds in due.items():
            courier, _ = self._couriers[place]
            if seconds <= 0:
                courier.wake()
            elif seconds < LOOK_EVERY:
                asyncio.get_running_loop().call_later(seconds, courier.wake)

    def _take_in(self, group: asyncio.TaskGroup, destination: Destination) -> None:
        place = Place(destination.workspace_id, destination.destination_id)
        if place in self._couriers:
            self._couriers[place][0].destination = destination
            return
        courier = Courier(destination, self._tools)
        self._couriers[place] = courier, group.create_task(courier.run())

    async def _drain(self) -> None:
        for courier, _ in self._couriers.values():
            courier.stop()
        tasks = [task for _, task in self._couriers.values()]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=self._drain_s)
        for task in late:
            task.cancel()
        if late:
            log.warning("attempts_cut_off", destinations=len(late))
