"""Runs a worker for every destination, and wakes the workers whose effects are due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress

import structlog

from services.activation.delivery.mirrors import MirrorContext, MirrorWorker
from services.activation.delivery.queue_worker import QueueWorker
from services.activation.delivery.worker import DeliveryContext, DestinationWorker
from services.activation.domain.contracts import ChannelKind
from services.activation.domain.model import Destination
from services.activation.store import effects as store
from services.activation.store import gate as gate_store
from services.activation.store import mirrors as mirror_store
from services.activation.store.destinations import load_destinations
from services.activation.store.effects import DestinationKey
from services.chassis.postgres.database import acquire

#: Seconds between two polls of the ledger, as other replicas add effects and definitions too.
POLL_INTERVAL_S = 1.0

log = structlog.get_logger(__name__)


class Dispatcher:
    """Sends the due effects of every destination, and keeps the mirrors.

    `mirrors`: None = there are none. `drain_s`: for how many seconds attempts in flight may
    continue when the scope ends.
    """

    def __init__(
        self, context: DeliveryContext, *, drain_s: float, mirrors: MirrorContext | None = None
    ) -> None:
        self._context = context
        self._mirrors = mirrors
        self._drain_s = drain_s
        self._poll_now = asyncio.Event()
        self._workers: dict[DestinationKey, tuple[QueueWorker, asyncio.Task[None]]] = {}

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
                self._employ(group, destination)
            await conn.execute(gate_store.Q.end_holds)
            due = await store.next_due(conn, self._workers.keys())
            mirrors = [w.destination for w, _ in self._workers.values() if _is_mirror(w)]
            due |= dict.fromkeys(await mirror_store.with_work(conn, mirrors), 0.0)
        for key, seconds in due.items():
            if seconds < POLL_INTERVAL_S:
                self._workers[key][0].wake(seconds)

    def _employ(self, group: asyncio.TaskGroup, destination: Destination) -> None:
        """Give a destination to its worker; one whose kind has changed gets another."""
        key = DestinationKey(destination.workspace_id, destination.destination_id)
        is_mirror = destination.channel.contract.kind is ChannelKind.MIRROR
        if key in self._workers:
            worker = self._workers[key][0]
            if _is_mirror(worker) == is_mirror:
                worker.destination = destination
                return
            worker.stop()
        made: QueueWorker
        if not is_mirror:
            made = DestinationWorker(destination, self._context)
        elif self._mirrors is not None:
            made = MirrorWorker(destination, self._mirrors)
        else:
            return
        self._workers[key] = made, group.create_task(made.run())

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


def _is_mirror(worker: QueueWorker) -> bool:
    return isinstance(worker, MirrorWorker)
