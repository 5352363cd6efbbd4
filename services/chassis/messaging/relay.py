"""Publishes the committed outputs of a service to the bus, in order and without gaps.

The relay starts where the newest message of the stream ends, publishes without waiting for each
acknowledgement, and checks the acknowledgements in order. After a failure it starts again at the
first message that was not acknowledged, so a message may be published twice, or overlap another
one. In a stream that is empty, far behind or ends with a foreign message it starts at the newest
output: consumers read earlier ones from the store.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import Sequence
from operator import attrgetter

import structlog

from services.chassis.messaging.envelope import Envelope
from services.chassis.messaging.jetstream import BUS_ERRORS, JetStreamBus
from services.chassis.messaging.outbox import PAGE, OutboxReader
from services.chassis.messaging.stream import OutboxMessage
from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.tasks import cancel_and_wait
from services.kernel.errors import RangeExpired, RetryableError, StoreUnavailable, UpstreamWentBack

log = structlog.get_logger(__name__)

#: Messages that were sent and are not yet acknowledged.
MAX_IN_FLIGHT = 64
#: Bytes per shard that are queued in memory; what exceeds them is read from the store.
QUEUE_BYTES = 16_000_000
#: Seconds.
ACK_TIMEOUT = 5.0
POLL_S = 2.0
_UNCOMMITTED_RETRY_S = 0.05
#: How long the relay waits for an output that another process has committed and hands over.
_GAP_S = 0.05
_NO_GAP = (-1, 0.0)
#: Sequence numbers. A stream that lacks more gets only the newest output: consumers have read the
#: others from the store long since, and an old message that is copied to the end of the stream does
#: not make the relay publish everything after it again.
MAX_CATCH_UP = 100_000
#: Also before the first prune: after a long outage, consumers may still have to read the outbox.
PRUNE_INTERVAL_S = 900.0
_INTERRUPTIONS: tuple[type[Exception], ...] = (
    *(*BUS_ERRORS, RetryableError),
    *(RangeExpired, UpstreamWentBack),
)

_FIRST = attrgetter("first")
#: The sequence number after a message that was sent, and its acknowledgement.
_Sent = tuple[int, asyncio.Future[None]]


class OutboxRelay:
    """Publishes the outputs of a service, shard by shard.

    `subject` such as `onefold.log`; the shard is appended. `outputs` reads committed outputs;
    `enqueue` saves the relay from reading them.
    """

    def __init__(self, bus: JetStreamBus, subject: str, outputs: OutboxReader) -> None:
        self._bus = bus
        self._subject = subject
        self._outputs = outputs
        self._shards: dict[int, _ShardRelay] = {}

    async def run_shard(self, shard: int) -> None:
        """Publish a shard until cancelled. Only the holder of its lease may run it."""
        relay = self._shards[shard] = _ShardRelay(self._bus, self._subject, self._outputs, shard)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(relay.prune())
                group.create_task(relay.publish_always())
        finally:
            if self._shards.get(shard) is relay:
                del self._shards[shard]

    async def enqueue(self, shard: int, outputs: Sequence[OutboxMessage]) -> None:
        """Publish outputs that were just committed.

        Where another process relays the shard, hand them over to it.
        """
        relay = self._shards.get(shard)
        if relay is not None:
            relay.enqueue(outputs)
            return
        for output in outputs:
            try:
                await self._bus.hand_over(f"{self._subject}.{shard}", output)
            except BUS_ERRORS as error:
                log.debug("notification_lost", shard=shard, error=type(error).__name__)
                return

    def published(self, shard: int) -> int:
        """Return the sequence number up to which the stream has everything, for metrics."""
        relay = self._shards.get(shard)
        return relay.published if relay else 0


class _ShardRelay:
    """Publishes one shard: outputs from its queue in memory, or from the store."""

    def __init__(self, bus: JetStreamBus, stream: str, outputs: OutboxReader, shard: int) -> None:
        self._bus = bus
        self._stream = stream
        self._subject = f"{stream}.{shard}"
        self._outputs = outputs
        self._shard = shard
        #: The sequence number up to which everything was acknowledged.
        self.published = 0
        #: The sequence number up to which everything was sent.
        self._sent_to = 0
        #: By their first sequence numbers; there may be gaps.
        self._queue: list[OutboxMessage] = []
        self._queued_bytes = 0
        #: Whether the store may have outputs that were not enqueued here.
        self._is_dirty = True
        #: The gap that is waited for, by the number at which it begins, and until when.
        self._gap: tuple[int, float] = _NO_GAP
        self._changed = asyncio.Event()

    def enqueue(self, outputs: Sequence[OutboxMessage]) -> None:
        """Queue outputs; where they are too many, drop all, as the store has them."""
        for output in outputs:
            # They arrive in order, but for those of several processes.
            insort(self._queue, output, key=_FIRST)
        self._queued_bytes += sum(len(output.payload) for output in outputs)
        if self._queued_bytes > QUEUE_BYTES:
            self._queue.clear()
            self._queued_bytes = 0
            self._is_dirty = True
        self._changed.set()

    async def publish_always(self) -> None:
        backoff = Backoff()
        while True:
            before = self.published
            # A separate task: after its failure, a task group leaves its task as if cancelled,
            # and a real cancellation may get lost.
            attempt = asyncio.ensure_future(self._publish())
            try:
                await asyncio.wait((attempt,))
                attempt.result()
            except* _INTERRUPTIONS as group:
                names = sorted({type(error).__name__ for error in group.exceptions})
                log.info("relay_interrupted", subject=self._subject, errors=names)
            finally:
                await cancel_and_wait(attempt)
            if self.published > before:
                backoff.reset()
            await asyncio.sleep(backoff.next_s())

    async def prune(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_INTERVAL_S)
            try:
                await self._outputs.prune(self._shard, self.published)
            except StoreUnavailable:
                log.info("prune_postponed", subject=self._subject)

    async def _publish(self) -> None:
        await self._bus.ready()
        async with self._bus.on_notify(self._subject, self._on_notification):
            at = self.published = self._sent_to = await self._find_start()
            self._is_dirty = True
            slots = asyncio.Semaphore(MAX_IN_FLIGHT)
            sent: asyncio.Queue[_Sent] = asyncio.Queue()
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._await_acks(sent, slots))
                    group.create_task(self._send(at, sent, slots))
            finally:
                while not sent.empty():
                    sent.get_nowait()[1].cancel()

    async def _find_start(self) -> int:
        """Return the sequence number from which on the stream lacks messages."""
        await self._bus.ensure_stream(self._stream)
        # In this order: a commit in between makes the store longer than the stream, never shorter.
        last = await self._bus.last_envelope(self._subject)
        tail = await self._outputs.tail(self._shard)
        if last is not None and await self._has(last, tail):
            # One message may have failed, and a later one arrived.
            start = min(last.next, self.published or last.next)
            return start if tail - start <= MAX_CATCH_UP else await self._publish_newest(tail)
        if last is not None:
            # The stream has messages that this store never committed: it is of an earlier store.
            subject = self._subject
            log.warning("divergent_stream_purged", subject=subject, stream=last.next, store=tail)
            await self._bus.purge(subject)
        return await self._publish_newest(tail)

    async def _has(self, last: Envelope, tail: int) -> bool:
        """Return whether the store has the newest message of the stream, in the same history."""
        if last.next > tail:
            return False
        return not last.life or await self._outputs.has_life(self._shard, last.next, last.life)

    async def _publish_newest(self, tail: int) -> int:
        """Publish the newest output alone, so that consumers learn the end of the outbox."""
        for newest in await self._outputs.read(self._shard, tail - 1, 1) if tail else []:
            acknowledged = await self._bus.publish(self._subject, newest, deduplicate=False)
            async with asyncio.timeout(ACK_TIMEOUT):
                await acknowledged
            return newest.next
        return tail

    async def _await_acks(self, sent: asyncio.Queue[_Sent], slots: asyncio.Semaphore) -> None:
        """Record how far the stream has everything. Raises the error of a message."""
        while True:
            end, acknowledged = await sent.get()
            async with asyncio.timeout(ACK_TIMEOUT):
                await acknowledged
            self.published = end
            slots.release()

    async def _send(self, at: int, sent: asyncio.Queue[_Sent], slots: asyncio.Semaphore) -> None:
        while True:
            for output in await self._next(at):
                await slots.acquire()
                acknowledged = await self._bus.publish(self._subject, output)
                sent.put_nowait((output.next, acknowledged))
                at = self._sent_to = output.next

    async def _next(self, at: int) -> list[OutboxMessage]:
        """Return the outputs that follow `at`; wait until there are some."""
        while True:
            self._changed.clear()
            if outputs := self._take(at):
                return outputs
            if self._is_dirty:
                # Before the reading, so that a notification during it counts.
                self._is_dirty = False
                if outputs := await self._outputs.read(self._shard, at, PAGE):
                    # A single output is the newest one, and what follows it will be enqueued. The
                    # store is always ahead of the queue: a relay that reads on reads everything.
                    self._is_dirty |= len(outputs) > 1
                    self._gap = (outputs[-1].next, self._now() + _GAP_S)
                    return outputs
                # What is queued follows a part that the store does not show yet.
                retry_at = self._now() + _UNCOMMITTED_RETRY_S
                self._gap = (at, retry_at) if self._queue else _NO_GAP
            await self._wait(at)

    def _take(self, at: int) -> list[OutboxMessage]:
        """Return the queued outputs that follow `at` without a gap."""
        queue = self._queue
        taken, end, count = [], at, 0
        for output in queue:
            if output.first > end:
                break
            count += 1
            self._queued_bytes -= len(output.payload)
            if output.next > end:
                taken.append(output)
                end = output.next
        del queue[:count]
        if queue and not taken:
            self._notice_gap(at)
        return taken

    def _notice_gap(self, at: int) -> None:
        """Wait for the missing output first, and read the store where it does not come."""
        missing_at, until = self._gap
        if missing_at != at:
            self._gap = (at, self._now() + _GAP_S)
        elif self._now() >= until:
            self._is_dirty = True

    async def _wait(self, at: int) -> None:
        """Wait for a change, or until it is time to read the store in any case."""
        missing_at, until = self._gap
        pause = max(0.001, until - self._now()) if missing_at == at else POLL_S
        try:
            async with asyncio.timeout(pause):
                await self._changed.wait()
        except TimeoutError:
            self._is_dirty = True

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _on_notification(self, output: OutboxMessage) -> None:
        """Take an output that is handed over; an old notification changes nothing."""
        if output.next <= self._sent_to:
            return
        if output.payload:
            self.enqueue([output])
        else:
            self._is_dirty = True
            self._changed.set()
