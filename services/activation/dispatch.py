"""The senders: a task a destination, so that none waits for another that hangs.

An attempt is begun in the ledger before it is made, and its end recorded after it. What lies
between when the process dies is shown as unknown, and made again with the same key and body when
its lease has run out; receivers drop the repeat by its key.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import structlog

from services.activation import store
from services.activation.channels import Message, Sender
from services.activation.domain.decide import Next, Outcome, Retries, Verdict, after_attempt
from services.activation.domain.model import Destination
from services.activation.render import Renderer
from services.activation.store import Attempt
from services.chassis.database import Database, transaction
from services.kernel.errors import OnefoldError, Unavailable
from services.kernel.ids import to_hex

#: Attempts begun at once, and how long one may take before it counts as unknown.
WINDOW, LEASE_S = 64, 60.0
#: How long a sender sleeps at most, seconds: other replicas write effects, too.
LONGEST_SLEEP = 1.0

log = structlog.get_logger(__name__)


class Dispatcher:
    """Sends what is due, for every destination."""

    def __init__(
        self,
        database: Database,
        renderer: Renderer,
        senders: dict[type, Sender],
        retries: Retries,
    ) -> None:
        self._database = database
        self._renderer = renderer
        self._senders = senders
        self._retries = retries
        self._news = asyncio.Event()
        self._running: dict[tuple[str, str], tuple[int, asyncio.Task[None]]] = {}

    def wake(self) -> None:
        """There may be something new to send, or a new destination."""
        self._news.set()

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._news.clear()
                try:
                    await self._keep_senders(group)
                except Unavailable:
                    log.warning("destinations_not_loaded")
                await self._wait(LONGEST_SLEEP)

    async def _keep_senders(self, group: asyncio.TaskGroup) -> None:
        """One task for each destination in its newest version."""
        async with transaction(self._database.pool) as conn:
            destinations = await store.load_destinations(conn)
        for destination in destinations:
            key = (destination.workspace_id, destination.destination_id)
            version, task = self._running.get(key, (0, None))
            if version == destination.version:
                continue
            if task is not None:
                task.cancel()
            self._running[key] = (destination.version, group.create_task(self._serve(destination)))

    async def _serve(self, destination: Destination) -> None:
        """Send what is due for one destination, until cancelled."""
        if destination.retired:
            return
        while True:
            pause = LONGEST_SLEEP
            try:
                if await self._round(destination):
                    continue
                pause = await self._pause(destination)
            except Unavailable as error:
                log.warning("sending_delayed", reason=error.reason)
            await self._wait(pause)

    async def _round(self, destination: Destination) -> int:
        """Begin a window of attempts, make them, record their ends; how many there were."""
        async with transaction(self._database.pool) as conn:
            begun = await store.claim(conn, destination, WINDOW, LEASE_S)
        if not begun:
            return 0
        ready = await self._render(destination, begun)
        ends = await asyncio.gather(*(self._attempt(destination, a, body) for a, body in ready))
        async with transaction(self._database.pool) as conn:
            await store.end_attempts(conn, ends)
        log.debug("attempts_made", destination=destination.destination_id, count=len(ends))
        return len(begun)

    async def _render(
        self, destination: Destination, begun: Sequence[Attempt]
    ) -> list[tuple[Attempt, bytes | None]]:
        """The body of every attempt; None where it cannot be made now."""
        fresh = [attempt for attempt in begun if attempt.body is None]
        if not fresh:
            return [(attempt, attempt.body) for attempt in begun]
        try:
            made = await self._renderer.render(destination, fresh)
        except OnefoldError as error:
            log.warning("messages_not_made", reason=error.reason)
            return [(attempt, attempt.body) for attempt in begun]
        async with transaction(self._database.pool) as conn:
            await store.keep_bodies(conn, made)
        bodies = {attempt.effect_id: body for attempt, body in made}
        return [(attempt, attempt.body or bodies[attempt.effect_id]) for attempt in begun]

    async def _attempt(
        self, destination: Destination, attempt: Attempt, body: bytes | None
    ) -> tuple[Attempt, Next]:
        if body is None:
            outcome = Outcome(Verdict.FAILED, "the profile could not be read")
        else:
            message = Message(to_hex(attempt.effect_id), body, attempt.attempts)
            sender = self._senders[type(destination.channel)]
            outcome = await sender.send(destination, message)
        jitter = random.random()  # noqa: S311 - so that retries do not come in step
        return attempt, after_attempt(outcome, attempt.attempts, self._retries, jitter)

    async def _pause(self, destination: Destination) -> float:
        async with transaction(self._database.pool) as conn:
            due = await store.next_due(conn, destination.workspace_id, destination.destination_id)
        return LONGEST_SLEEP if due is None else min(max(due, 0.01), LONGEST_SLEEP)

    async def _wait(self, seconds: float) -> None:
        """Until there is news, but no longer than `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return
        # Whoever waits sees the same news; the dispatcher clears it before it looks.
        await asyncio.sleep(0.01)
