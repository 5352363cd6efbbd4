"""Runs a worker for every destination, and wakes the workers whose effects are due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress

import structlog

from services.activation.delivery.worker import DeliveryContext, DestinationWorker
from services.activation.store import effects as store
from services.activation.store import gate as gate_store
from services.activation.store.destinations import load_destinations
from services.activation.store.effects import DestinationKey
from services.chassis.postgres.database import acquire

#: Seconds between two polls of the ledger, as other replicas add effects and definitions too.
POLL_INTERVAL_S = 1.0

log = structlog.get_logger(__name__)


class Dispatcher:
    """Sends the due effects of every destination.

    `drain_s`: for how many seconds attempts in flight may continue when the scope ends.
    """

    def __init__(self, context: DeliveryContext, *, drain_s: float) -> None:
        self._context = context
        self._drain_s = drain_s
        self._poll_now = asyncio.Event()
        self._workers: dict[DestinationKey, tuple[DestinationWorker, asyncio.Task[None]]] = {}

    def wake(self, keys: Collection[DestinationKey]) -> None:
        """Check for due effects of these destinations now."""
        for key in keys:
            if key in self._workers:
                self._workers[key][0].wake()
            else:
                self._poll_now.set()

    def reload(self) -> None:
        """Load the destinations again, as definitions may have changed."""
        self._poll_now.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send inside the scope; at its end wait for the attempts in flight."""
        async with asyncio.TaskGroup() as group:
            polling = group.create_task(self._run(group))
            try:
                yield
            finally:
                polling.cancel()
                await self._drain()

    async def _run(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._poll_now.clear()
            try:
                await self._poll(group)
            except Exception as error:
                log.warning("destinations_not_loaded", error=type(error).__name__)
                await asyncio.sleep(POLL_INTERVAL_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_INTERVAL_S):
                    await self._poll_now.wait()

    async def _poll(self, group: asyncio.TaskGroup) -> None:
        """Load the destinations, and wake the workers for which effects are due."""
        async with acquire(self._context.database.pool) as conn:
            for destination in await load_destinations(conn):
                key = DestinationKey(destination.workspace_id, destination.destination_id)
                if key in self._workers:
                    self._workers[key][0].destination = destination
                else:
                    worker = DestinationWorker(destination, self._context)
                    self._workers[key] = worker, group.create_task(worker.run())
            await conn.execute(gate_store.Q.end_holds)
            due = await store.next_due(conn, self._workers.keys())
        for key, seconds in due.items():
            if seconds < POLL_INTERVAL_S:
                self._workers[key][0].wake(seconds)

    async def _drain(self) -> None:
        for worker, _ in self._workers.values():
            worker.stop()
        tasks = [task for _, task in self._workers.values()]
        if not tasks:
            return
        _, running = await asyncio.wait(tasks, timeout=self._drain_s)
        for task in running:
            task.cancel()
        if running:
            log.warning("attempts_cancelled", destinations=len(running))
