"""The relay: what a service has committed goes to the bus, in order, and nothing is left out.

It begins where the newest message of the stream ends, sends without waiting for one another, and
looks at the acknowledgements in order. At a failure it begins anew at the first message that was
not acknowledged, so a message may come twice, or be laid across another. Where a stream is empty it
begins at the newest output: whoever listens reads what lies before it from the store.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import asyncpg
import structlog

from services.chassis.messaging.jetstream import BUS_ERRORS, JetStreamBus
from services.chassis.messaging.stream import OutboxMessage, StreamMessage
from services.chassis.postgres.database import acquire
from services.chassis.projection.checkpoint import Q
from services.chassis.runtime.tasks import cancel_and_wait
from services.kernel.errors import RangeExpired, StoreUnavailable

log = structlog.get_logger(__name__)

#: Messages on their way to the bus and not yet acknowledged.
MAX_IN_FLIGHT = 64
#: Messages read again from the store at a time.
PAGE = 64
#: Bytes a shard that are kept in memory for sending; more is read again from the store.
QUEUE_BYTES = 16_000_000
#: Seconds.
ACK_TIMEOUT = 5.0
POLL_S = 2.0
#: Also before the first time: after a long stop of everything, listeners may still have to read.
PRUNE_INTERVAL_S = 900.0
_PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0)
_INTERRUPTIONS: tuple[type[Exception], ...] = (*BUS_ERRORS, StoreUnavailable, RangeExpired)


class OutboxReader(Protocol):
    """Where committed outputs can be read again: the outbox, or the log itself."""

    async def read(self, shard: int, first: int, limit: int) -> list[OutboxMessage]:
        """At most `limit` outputs in order, from the one that covers `first` on; [] at the end.

        Raises RangeGone where `first` is no longer kept.
        """
        ...

    async def tail(self, shard: int) -> int:
        """The place after the newest output; 0 where there is none."""
        ...

    async def prune(self, shard: int, published: int) -> None:
        """Lets go of what is old, if all of it lies before `published`."""
        ...


class Outbox:
    """The outbox of a service as `OutboxReader`, and as what its `Read` serves.

    `retention`: seconds for which an output is kept.
    """

    def __init__(self, pool: asyncpg.Pool, *, retention: float = 86_400.0) -> None:
        self._pool = pool
        self._retention = retention

    async def read(self, shard: int, first: int, limit: int) -> list[OutboxMessage]:
        """See `OutboxReader.read`."""
        async with acquire(self._pool) as conn:
            rows = await conn.fetch(Q.read_outbox, shard, first, limit)
        if rows and rows[0]["first"] > first:
            raise RangeExpired(f"the outbox begins at {rows[0]['first']}; rebuild from the log")
        return [OutboxMessage(*row) for row in rows]

    async def tail(self, shard: int) -> int:
        """See `OutboxReader.tail`."""
        async with acquire(self._pool) as conn:
            return await conn.fetchval(Q.outbox_tail, shard) or 0

    async def prune(self, shard: int, published: int) -> None:
        """See `OutboxReader.prune`. The newest output always stays: it tells where the outbox ends."""
        done = "DELETE 1"
        while done != "DELETE 0":
            async with acquire(self._pool) as conn:
                done = await conn.execute(Q.prune_outbox, shard, published, self._retention)

    async def stream(self, shard: int, first: int, until: int = 0) -> AsyncIterator[StreamMessage]:
        """The messages that cover [first, until), `until` 0 = what there is; for `Read` rpcs.

        The first and the last one may reach beyond the range. Raises RangeGone.
        """
        until = until or await self.tail(shard)
        while first < until:
            page = await self.read(shard, first, PAGE)
            if not page:
                return
            for output in page:
                if output.first >= until:
                    return
                yield StreamMessage(output.first, output.next, output.payload)
            first = page[-1].next


class OutboxRelay:
    """Publishes the outputs of a service, shard by shard.

    `subject` such as `onefold.log`; the shard is appended. `outputs` is where committed outputs are
    read; `offer` spares the reading.
    """

    def __init__(self, bus: JetStreamBus, subject: str, outputs: OutboxReader) -> None:
        self._bus = bus
        self._subject = subject
        self._outputs = outputs
        self._lines: dict[int, _ShardQueue] = {}

    async def run_shard(self, shard: int) -> None:
        """Publishes a shard until cancelled. Only its holder may run it (see `leases`)."""
        line = self._lines[shard] = _ShardQueue()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._prune(shard, line))
                group.create_task(self._publish_always(shard, line))
        finally:
            if self._lines.get(shard) is line:
                del self._lines[shard]

    async def enqueue(self, shard: int, outputs: Sequence[OutboxMessage]) -> None:
        """Hands over what was just committed, in order.

        Where this process does not relay the shard, it nudges the one that does.
        """
        line = self._lines.get(shard)
        if line is not None:
            line.add(outputs)
        elif outputs:
            await self._notify(shard)

    def published(self, shard: int) -> int:
        """The place up to which this process knows the stream to have everything; for metrics."""
        line = self._lines.get(shard)
        return line.published if line else 0

    async def _notify(self, shard: int) -> None:
        try:
            await self._bus.notify(self._subject_of(shard))
        except BUS_ERRORS as error:
            log.debug("nudge_lost", shard=shard, error=type(error).__name__)

    def _subject_of(self, shard: int) -> str:
        return f"{self._subject}.{shard}"

    async def _publish_always(self, shard: int, line: _ShardQueue) -> None:
        failures = 0
        while True:
            before = line.published
            # A task of its own: a failed task group leaves its task looking as if cancelled, and a
            # cancellation may get lost in it.
            attempt = asyncio.ensure_future(self._publish(shard, line))
            try:
                await asyncio.wait((attempt,))
                attempt.result()
            except* _INTERRUPTIONS as group:
                names = sorted({type(error).__name__ for error in group.exceptions})
                log.info("relay_interrupted", subject=self._subject_of(shard), errors=names)
            finally:
                await cancel_and_wait(attempt)
            failures = 0 if line.published > before else failures + 1
            await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])

    async def _publish(self, shard: int, line: _ShardQueue) -> None:
        await self._bus.ready()
        async with self._bus.on_notify(self._subject_of(shard), line.mark_dirty):
            await self._publish_from(shard, line, await self._begin(shard, line))

    async def _begin(self, shard: int, line: _ShardQueue) -> int:
        """The place from which on the stream has to be given everything."""
        await self._bus.ensure_stream(self._subject)
        place = self._subject_of(shard)
        # In this order: what is committed meanwhile makes the tail longer, never the other way.
        last = await self._bus.last_range(place)
        tail = await self._outputs.tail(shard)
        if last is not None and last[1] <= tail:
            # A message may have failed, and one after it arrived.
            return min(last[1], line.published or last[1])
        if last is not None:
            # The stream has what was never committed here: it is of another life of the store.
            log.warning("foreign_stream_purged", subject=place, stream=last[1], store=tail)
            await self._bus.purge(place)
        return await self._publish_newest(shard, tail)

    async def _publish_newest(self, shard: int, tail: int) -> int:
        """Sends the newest output alone, so that whoever waits learns how far the truth is."""
        for newest in await self._outputs.read(shard, tail - 1, 1) if tail else []:
            acknowledged = await self._bus.publish(self._subject_of(shard), newest, again=True)
            async with asyncio.timeout(ACK_TIMEOUT):
                await acknowledged
            return newest.next
        return tail

    async def _publish_from(self, shard: int, line: _ShardQueue, at: int) -> None:
        line.published = at
        line.mark_dirty()
        sent = _InFlight()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(sent.await_acks(line))
                group.create_task(self._send(shard, line, at, sent))
        finally:
            sent.forget()

    async def _send(self, shard: int, line: _ShardQueue, at: int, sent: _InFlight) -> None:
        while True:
            for output in await self._next(shard, line, at):
                await sent.room.acquire()
                acknowledged = await self._bus.publish(self._subject_of(shard), output)
                sent.queue.put_nowait((output.next, acknowledged))
                at = output.next

    async def _next(self, shard: int, line: _ShardQueue, at: int) -> list[OutboxMessage]:
        """What comes after `at`; waits until there is something."""
        while True:
            if outputs := line.take(at):
                return outputs
            if line.look:
                # Before the reading: what is told during it counts.
                line.look = False
                if outputs := await self._outputs.read(shard, at, PAGE):
                    line.look = True
                    return outputs
            await line.wait()

    async def _prune(self, shard: int, line: _ShardQueue) -> None:
        while True:
            await asyncio.sleep(PRUNE_INTERVAL_S)
            try:
                await self._outputs.prune(shard, line.published)
            except StoreUnavailable:
                log.info("pruning_put_off", subject=self._subject_of(shard))


class _InFlight:
    """What is on its way to the bus, in order."""

    def __init__(self) -> None:
        self.room = asyncio.Semaphore(MAX_IN_FLIGHT)
        self.queue: asyncio.Queue[tuple[int, asyncio.Future[None]]] = asyncio.Queue()

    async def await_acks(self, line: _ShardQueue) -> None:
        """Notes how far the stream has everything. Raises what a message failed with."""
        while True:
            until, acknowledged = await self.queue.get()
            async with asyncio.timeout(ACK_TIMEOUT):
                await acknowledged
            line.published = until
            self.room.release()

    def forget(self) -> None:
        """Waits for no acknowledgement any more."""
        while not self.queue.empty():
            self.queue.get_nowait()[1].cancel()


class _ShardQueue:
    """What waits to be sent for one shard."""

    def __init__(self) -> None:
        #: The place up to which everything was acknowledged.
        self.published = 0
        #: Whether the store may have what was not offered here.
        self.look = True
        self._queue: deque[OutboxMessage] = deque()
        self._size = 0
        self._told = asyncio.Event()

    def add(self, outputs: Sequence[OutboxMessage]) -> None:
        """Queues outputs, or forgets all where they are too many: the store has them."""
        self._queue.extend(outputs)
        self._size += sum(len(output.payload) for output in outputs)
        if self._size > QUEUE_BYTES:
            self._queue.clear()
            self._size = 0
            self.look = True
        self._told.set()

    def mark_dirty(self) -> None:
        """The store may have something new."""
        self.look = True
        self._told.set()

    def take(self, at: int) -> list[OutboxMessage]:
        """What is queued from `at` on; [] where it begins later."""
        while self._queue and self._queue[0].next <= at:
            self._size -= len(self._queue.popleft().payload)
        if not self._queue:
            return []
        if self._queue[0].first > at:
            self.look = True
            return []
        taken, self._size = list(self._queue), 0
        self._queue.clear()
        return taken

    async def wait(self) -> None:
        """Waits until something is told, or until it is time to look again."""
        if self._queue:
            # What is queued lies after a part that the store does not show yet.
            await asyncio.sleep(_PAUSES[0])
            return
        self._told.clear()
        try:
            async with asyncio.timeout(POLL_S):
                await self._told.wait()
        except TimeoutError:
            self.look = True
