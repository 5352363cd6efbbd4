"""Consumes one shard of an upstream: contiguous messages, from the bus or else read upstream.

The caller requests the messages after a sequence number. It gets each of them once, also those that
arrived twice, were missed, or are too large for the bus.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

import structlog

from services.chassis.messaging.stream import StreamMessage, Upstream
from services.chassis.messaging.subscription import PullSubscription, ReceivedMessage

log = structlog.get_logger(__name__)

#: Seconds without a message after which upstream is read, in case one was missed.
GAP_CHECK_S = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is folded in one transaction; the first message is always taken whole."""

    #: Messages.
    messages: int = 256
    #: Sequence numbers; facts, for the log and identity.
    span: int = 2_000
    #: Bytes of payload.
    size: int = 4_000_000


class UpstreamGap(Exception):
    """Upstream left out a part, which it must not."""


class ShardConsumer:
    """The messages of one shard, in order and without gaps."""

    def __init__(
        self,
        shard: int,
        subscription: PullSubscription,
        upstream: Upstream,
        limits: Limits,
        *,
        gap_check_s: float = GAP_CHECK_S,
    ) -> None:
        self._shard = shard
        self._subscription = subscription
        self.upstream = upstream
        self._limits = limits
        self._gap_check_s = gap_check_s
        self._reading: AsyncIterator[StreamMessage] | None = None
        #: The life of the stream, as of the last message that was read upstream; 0 = not known.
        self._life = 0
        #: A message that was read and did not fit into the last batch.
        self._carry_over: StreamMessage | None = None
        #: Where upstream is read because of a gap, until it returns something.
        self._gap_at: int | None = None
        self._unacknowledged: ReceivedMessage | None = None
        #: The life of the upstream in which the place of the last call was reached.
        self._reached_in = 0
        #: When `next` first found no message after the last one; None where one is there.
        self._silent_since: float | None = None
        self._interrupted = False
        self._loop = asyncio.get_running_loop()

    async def next(
        self, at: int, patience_s: float = math.inf, *, life: int = 0
    ) -> tuple[StreamMessage, ...]:
        """Return the messages from the sequence number `at` on, up to the limits of a batch.

        `life`: that of the upstream in which `at` was reached; 0 = not known. A message of the bus
        counts as absent while its life is not the one that upstream was found to be in.

        The first one may begin before `at`. Return () where none arrived within `patience_s`
        seconds, where upstream has nothing more either, or after `interrupt`. Raises UpstreamGap
        and what reading upstream raises; `restart` then discards that reading.
        """
        self._reached_in = life
        while (reading := self._reading) is None:
            messages = await self._receive(at, patience_s)
            if messages is not None:
                return messages
        return await self._read(reading, at)

    def check_upstream(self, at: int, life: int = 0) -> None:
        """Read upstream before anything else: it may have gone back behind `at`; see `next`."""
        self._reached_in = life
        self._read_upstream(at, 0)
        self._gap_at = None

    def _read_upstream(self, first: int, end: int) -> None:
        self._reading = self.upstream.read(self._shard, first, end, self._reached_in)

    def interrupt(self) -> None:
        """Make `next` return, now or at its next call, where no message is there."""
        self._interrupted = True
        self._subscription.interrupt()

    async def ack(self) -> None:
        """Acknowledge the received messages; call it once they are saved."""
        if self._unacknowledged is not None:
            received, self._unacknowledged = self._unacknowledged, None
            await self._subscription.ack(received)

    def has_message(self) -> bool:
        """Return whether a message is here, or can be read."""
        return self._reading is not None or self._subscription.peek() is not None

    def is_full(self, at: int) -> bool:
        """Return whether a batch of the largest span has arrived already, or can be read."""
        end = self._subscription.high_water_mark(at)
        return self._reading is not None or end - at >= self._limits.span

    async def restart(self) -> None:
        """Discard the unfinished batch."""
        reading, self._reading, self._carry_over = self._reading, None, None
        self._silent_since = None
        if isinstance(reading, AsyncGenerator):
            await reading.aclose()

    async def _receive(self, at: int, patience_s: float) -> tuple[StreamMessage, ...] | None:
        """Return what arrived; () where to give up for now, None where to try again."""
        if self._silent_since is None:
            self._silent_since = self._loop.time()
        remaining_s = self._silent_since + self._gap_check_s - self._loop.time()
        interrupted, self._interrupted = self._interrupted, False
        limit_s = 0.0 if interrupted else min(remaining_s, patience_s)
        received = await self._subscription.wait(limit_s)
        if received is None:
            if interrupted or self._interrupted or patience_s < remaining_s:
                self._interrupted = False
                return ()
            # A message may have been lost with nothing after it to show the gap.
            self._read_upstream(at, 0)
            self._gap_at = None
            return None
        end = self._gap_end(received, at)
        if end is None:
            messages = self._take_received(at)
            if messages:
                self._silent_since = None
            elif remaining_s <= 0:
                # All that arrives was folded before: upstream may have gone back.
                self._read_upstream(at, 0)
                self._gap_at = None
            return messages or None
        self._silent_since = None
        if self._gap_at == at:
            # Upstream has nothing that leads up to it; later messages show whether it ever had.
            self._gap_at = None
            log.warning("out_of_sequence_messages_dropped", shard=self._shard, at=at, end=end)
            while (other := self._subscription.peek()) and self._gap_end(other, at) is not None:
                self._subscription.pop()
            return None
        log.info("gap_found", shard=self._shard, first=at, next=end)
        if received.message.life != self._life:
            self._subscription.note_other_life()
        self._read_upstream(at, end)
        self._gap_at = at
        return None

    def _take_received(self, at: int) -> tuple[StreamMessage, ...]:
        batch = BatchBuilder(at, self._limits)
        while (received := self._subscription.peek()) is not None:
            if self._gap_end(received, batch.next) is not None or not batch.add(received.message):
                break
            self._unacknowledged = received
            self._subscription.pop()
        return tuple(batch.messages)

    async def _read(
        self, reading: AsyncIterator[StreamMessage], at: int
    ) -> tuple[StreamMessage, ...]:
        batch = BatchBuilder(at, self._limits)
        while message := self._carry_over or await anext(reading, None):
            self._life = message.life
            if message.first > batch.next:
                raise UpstreamGap(
                    f"upstream left out [{batch.next}, {message.first}) of shard {self._shard}"
                )
            fits = batch.add(message)
            self._carry_over = None if fits else message
            if not fits:
                break
        else:
            self._reading = self._silent_since = None
        if batch.messages:
            self._gap_at = None
        return tuple(batch.messages)

    def _gap_end(self, received: ReceivedMessage, at: int) -> int | None:
        """Return up to where upstream must be read before this message is of use; None if it is."""
        message = received.message
        if message.next <= at:
            return None
        if received.is_claim_check or message.life != self._life:
            return message.next
        return message.first if message.first > at else None


class BatchBuilder:
    """Contiguous messages, up to the limits of a batch."""

    def __init__(self, at: int, limits: Limits) -> None:
        self.messages: list[StreamMessage] = []
        self.next = at
        self._limits = limits
        self._span = 0
        self._size = 0

    def add(self, message: StreamMessage) -> bool:
        """Add a message, or skip it if nothing in it is new; return False if it does not fit.

        The first one always fits.
        """
        if message.next <= self.next:
            return True
        span, size = self._span + message.next - self.next, self._size + len(message.payload)
        limits = self._limits
        is_full = len(self.messages) >= limits.messages or span > limits.span or size > limits.size
        if is_full and self.messages:
            return False
        self.messages.append(message)
        self.next, self._span, self._size = message.next, span, size
        return True
