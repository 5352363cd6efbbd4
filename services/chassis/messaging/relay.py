"""Publishes the committed outputs of a service to the bus, in order and without gaps.

The relay starts where the newest message of the stream ends, publishes without waiting for each
acknowledgement, and checks the acknowledgements in order. After a failure it starts again at the
first message that was not acknowledged, so a message may be published twice, or overlap another
one. In an empty stream it starts at the newest output: consumers read earlier ones from the store.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog

from services.chassis.messaging.jetstream import BUS_ERRORS, JetStreamBus
from services.chassis.messaging.outbox import PAGE, OutboxReader
from services.chassis.messaging.stream import OutboxMessage
from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.tasks import cancel_and_wait
from services.kernel.errors import RangeExpired, StoreUnavailable

log = structlog.get_logger(__name__)

#: Messages that were sent and are not yet acknowledged.
MAX_IN_FLIGHT = 64
#: Bytes per shard that are queued in memory; what exceeds them is read from the store.
QUEUE_BYTES = 16_000_000
#: Seconds.
ACK_TIMEOUT = 5.0
POLL_S = 2.0
_UNCOMMITTED_RETRY_S = 0.05
#: Also before the first prune: after a long outage, consumers may still have to read the outbox.
PRUNE_INTERVAL_S = 900.0
_INTERRUPTIONS: tuple[type[Exception], ...] = (*BUS_ERRORS, StoreUnavailable, RangeExpired)


class OutboxRelay:
    """Publishes the outputs of a service, shard by shard.

    `subject` such as `onefold.log`; the shard is appended. `outputs` reads committed outputs;
    `enqueue` saves the relay from reading them.
    """

    def __init__(self, bus: JetStreamBus, subject: str, outputs: OutboxReader) -> None:
        self._bus = bus
        self._subject = subject
        self._outputs = outputs
        self._queues: dict[int, _ShardQueue] = {}

    async def run_shard(self, shard: int) -> None:
        """Publish a shard until cancelled. Only the holder of its lease may run it."""
        queue = self._queues[shard] = _ShardQueue()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._prune(shard, queue))
                group.create_task(self._publish_always(shard, queue))
        finally:
            if self._queues.get(shard) is queue:
                del self._queues[shard]

    async def enqueue(self, shard: int, outputs: Sequence[OutboxMessage]) -> None:
        """Publish outputs that were just committed, in order.

        Where another process relays the shard, notify it.
        """
        queue = self._queues.get(shard)
        if queue is not None:
            queue.add(outputs)
        elif outputs:
            await self._notify(shard)

    def published(self, shard: int) -> int:
        """Return the sequence number up to which the stream has everything, for metrics."""
        queue = self._queues.get(shard)
        return queue.published if queue else 0

    async def _notify(self, shard: int) -> None:
        try:
            await self._bus.notify(self._subject_of(shard))
        except BUS_ERRORS as error:
            log.debug("notification_lost", shard=shard, error=type(error).__name__)

    def _subject_of(self, shard: int) -> str:
        return f"{self._subject}.{shard}"

    async def _publish_always(self, shard: int, queue: _ShardQueue) -> None:
        backoff = Backoff()
        while True:
            before = queue.published
            # A task of its own: after its failure, a task group leaves its task as if cancelled,
            # and a real cancellation may get lost.
            attempt = asyncio.ensure_future(self._publish(shard, queue))
            try:
                await asyncio.wait((attempt,))
                attempt.result()
            except* _INTERRUPTIONS as group:
                names = sorted({type(error).__name__ for error in group.exceptions})
                log.info("relay_interrupted", subject=self._subject_of(shard), errors=names)
            finally:
                await cancel_and_wait(attempt)
            if queue.published > before:
                backoff.reset()
            await asyncio.sleep(backoff.next_s())

    async def _publish(self, shard: int, queue: _ShardQueue) -> None:
        await self._bus.ready()
        async with self._bus.on_notify(self._subject_of(shard), queue.mark_dirty):
            await self._publish_from(shard, queue, await self._find_start(shard, queue))

    async def _find_start(self, shard: int, queue: _ShardQueue) -> int:
        """Return the sequence number from which on the stream lacks messages."""
        await self._bus.ensure_stream(self._subject)
        subject = self._subject_of(shard)
        # In this order: a commit in between makes the store longer than the stream, never shorter.
        last = await self._bus.last_range(subject)
        tail = await self._outputs.tail(shard)
        if last is not None and last[1] <= tail:
            # One message may have failed, and a later one arrived.
            return min(last[1], queue.published or last[1])
        if last is not None:
            # The stream has messages that this store never committed: it is of an earlier store.
            log.warning("divergent_stream_purged", subject=subject, stream=last[1], store=tail)
            await self._bus.purge(subject)
        return await self._publish_newest(shard, tail)

    async def _publish_newest(self, shard: int, tail: int) -> int:
        """Publish the newest output alone, from which consumers see how far the store is."""
        for newest in await self._outputs.read(shard, tail - 1, 1) if tail else []:
            acknowledged = await self._bus.publish(
                self._subject_of(shard), newest, deduplicate=False
            )
            async with asyncio.timeout(ACK_TIMEOUT):
                await acknowledged
            return newest.next
        return tail

    async def _publish_from(self, shard: int, queue: _ShardQueue, at: int) -> None:
        queue.published = at
        queue.mark_dirty()
        in_flight = _InFlight()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(in_flight.await_acks(queue))
                group.create_task(self._send(shard, queue, at, in_flight))
        finally:
            in_flight.cancel()

    async def _send(self, shard: int, queue: _ShardQueue, at: int, in_flight: _InFlight) -> None:
        while True:
            for output in await self._next(shard, queue, at):
                await in_flight.slots.acquire()
                acknowledged = await self._bus.publish(self._subject_of(shard), output)
                in_flight.sent.put_nowait((output.next, acknowledged))
                at = output.next

    async def _next(self, shard: int, queue: _ShardQueue, at: int) -> list[OutboxMessage]:
        """Return the outputs that follow `at`; wait until there are some."""
        while True:
            if outputs := queue.take(at):
                return outputs
            if queue.is_dirty:
                # Before the reading, so that a notification during it counts.
                queue.is_dirty = False
                if outputs := await self._outputs.read(shard, at, PAGE):
                    queue.is_dirty = True
                    return outputs
            await queue.wait()

    async def _prune(self, shard: int, queue: _ShardQueue) -> None:
        while True:
            await asyncio.sleep(PRUNE_INTERVAL_S)
            try:
                await self._outputs.prune(shard, queue.published)
            except StoreUnavailable:
                log.info("prune_postponed", subject=self._subject_of(shard))


class _InFlight:
    """Messages that were sent and are not yet acknowledged, in order."""

    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        #: The sequence number after each message, and its acknowledgement.
        self.sent: asyncio.Queue[tuple[int, asyncio.Future[None]]] = asyncio.Queue()

    async def await_acks(self, queue: _ShardQueue) -> None:
        """Record how far the stream has everything. Raises the error of a message."""
        while True:
            end, acknowledged = await self.sent.get()
            async with asyncio.timeout(ACK_TIMEOUT):
                await acknowledged
            queue.published = end
            self.slots.release()

    def cancel(self) -> None:
        """Stop waiting for acknowledgements."""
        while not self.sent.empty():
            self.sent.get_nowait()[1].cancel()


class _ShardQueue:
    """The outputs of one shard that wait to be published."""

    def __init__(self) -> None:
        #: The sequence number up to which everything was acknowledged.
        self.published = 0
        #: Whether the store may have outputs that were not enqueued here.
        self.is_dirty = True
        self._outputs: deque[OutboxMessage] = deque()
        self._size = 0
        self._changed = asyncio.Event()

    def add(self, outputs: Sequence[OutboxMessage]) -> None:
        """Queue outputs; where they are too many, drop all, as the store has them."""
        self._outputs.extend(outputs)
        self._size += sum(len(output.payload) for output in outputs)
        if self._size > QUEUE_BYTES:
            self._outputs.clear()
            self._size = 0
            self.is_dirty = True
        self._changed.set()

    def mark_dirty(self) -> None:
        """Have the store read: it may have new outputs."""
        self.is_dirty = True
        self._changed.set()

    def take(self, at: int) -> list[OutboxMessage]:
        """Return the queued outputs from `at` on; [] where they begin later."""
        while self._outputs and self._outputs[0].next <= at:
            self._size -= len(self._outputs.popleft().payload)
        if not self._outputs:
            return []
        if self._outputs[0].first > at:
            self.is_dirty = True
            return []
        taken, self._size = list(self._outputs), 0
        self._outputs.clear()
        return taken

    async def wait(self) -> None:
        """Wait for a change, or until it is time to read the store in any case."""
        if self._outputs:
            # They follow a part that the store does not show yet.
            await asyncio.sleep(_UNCOMMITTED_RETRY_S)
            return
        self._changed.clear()
        try:
            async with asyncio.timeout(POLL_S):
                await self._changed.wait()
        except TimeoutError:
            self.is_dirty = True
