"""What comes to a shard: contiguous messages, from the bus where it has them, else from upstream.

Whoever folds asks for what follows a place; whether it was heard, heard twice, missed, or is too
large for the bus, is settled here.
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

#: Seconds without a message after which upstream is asked whether one was missed.
GAP_CHECK_S = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is folded in one transaction; the first message is always taken whole."""

    #: Messages.
    messages: int = 256
    #: Places of the upstream's coordinate: facts, for the log and identity.
    span: int = 2_000
    #: Bytes of payload.
    size: int = 4_000_000


class UpstreamGap(Exception):
    """Upstream left a part out, which it must not."""


class ShardConsumer:
    """The messages of one shard, in order and without gaps."""

    def __init__(
        self,
        shard: int,
        tail: PullSubscription,
        upstream: Upstream,
        limits: Limits,
        *,
        silence: float = GAP_CHECK_S,
    ) -> None:
        self._shard = shard
        self._tail = tail
        self._upstream = upstream
        self._limits = limits
        self._silence = silence
        self._reading: AsyncIterator[StreamMessage] | None = None
        #: Read, and left for the next batch.
        self._carry_over: StreamMessage | None = None
        #: Where upstream was last read because of a gap, until it gave something.
        self._gap_at: int | None = None
        self._unacknowledged: ReceivedMessage | None = None
        #: When `next` first found no message after the last one; None where one is there.
        self._silent_since: float | None = None
        self._interrupted = False
        self._loop = asyncio.get_running_loop()

    async def next(self, at: int, patience_s: float = math.inf) -> tuple[StreamMessage, ...]:
        """Return what follows the offset `at`, as many messages as the limits allow.

        The first one may begin before `at`. Return () where none came within `patience_s` seconds,
        where upstream has nothing more either, or after `interrupt`. Raises RangeExpired,
        UpstreamGap, and what reading upstream raises; `restart` then discards that reading.
        """
        while self._reading is None:
            messages = await self._receive(at, patience_s)
            if messages is not None:
                return messages
        return await self._read(at)

    def interrupt(self) -> None:
        """Make `next` return, now or at its next call, where no message is there."""
        self._interrupted = True
        self._tail.interrupt()

    async def ack(self) -> None:
        """Acknowledges what was heard; to be called once it is saved."""
        if self._unacknowledged is not None:
            heard, self._unacknowledged = self._unacknowledged, None
            await self._tail.ack(heard)

    def is_full(self, at: int) -> bool:
        """Whether as much as the limits allow is there already, or can be read."""
        return self._reading is not None or self._tail.high_water_mark(at) - at >= self._limits.span

    async def restart(self) -> None:
        """Forgets what is being read."""
        reading, self._reading, self._carry_over = self._reading, None, None
        self._silent_since = None
        if isinstance(reading, AsyncGenerator):
            await reading.aclose()

    async def _receive(self, at: int, patience_s: float) -> tuple[StreamMessage, ...] | None:
        """Return what arrived; () where to give up for now, None where to try again."""
        remaining_s = self._start_silence() + self._silence - self._loop.time()
        interrupted, self._interrupted = self._interrupted, False
        heard = await self._tail.wait(0.0 if interrupted else min(remaining_s, patience_s))
        if heard is None:
            if interrupted or self._interrupted or patience_s < remaining_s:
                self._interrupted = False
                return ()
            # A message may have been lost with nothing after it to show the gap.
            self._reading, self._gap_at = self._upstream.read(self._shard, at, 0), None
            return None
        self._silent_since = None
        until = _gap_end(heard, at)
        if until is None:
            return self._take_received(at) or None
        if self._gap_at == at:
            # Upstream has nothing that leads up to it; what comes later shows whether it ever had.
            self._gap_at = None
            log.warning("messages_out_of_place_dropped", shard=self._shard, at=at, until=until)
            while (heard := self._tail.peek()) and _gap_end(heard, at) is not None:
                self._tail.pop()
            return None
        log.info("gap_found", shard=self._shard, first=at, next=until)
        self._reading, self._gap_at = self._upstream.read(self._shard, at, until), at
        return None

    def _start_silence(self) -> float:
        """Return since when no message is there: now, where it begins."""
        if self._silent_since is None:
            self._silent_since = self._loop.time()
        return self._silent_since

    def _take_received(self, at: int) -> tuple[StreamMessage, ...]:
        take = BatchBuilder(at, self._limits)
        while (heard := self._tail.peek()) is not None:
            if _gap_end(heard, take.next) is not None or not take.add(heard.message):
                break
            self._unacknowledged = heard
            self._tail.pop()
        return tuple(take.messages)

    async def _read(self, at: int) -> tuple[StreamMessage, ...]:
        take = BatchBuilder(at, self._limits)
        while (message := await self._next_read()) is not None:
            if message.first > take.next:
                raise UpstreamGap(f"shard {self._shard}: [{take.next}, {message.first}) left out")
            if not take.add(message):
                self._carry_over = message
                break
        else:
            self._reading = self._silent_since = None
        if take.messages:
            self._gap_at = None
        return tuple(take.messages)

    async def _next_read(self) -> StreamMessage | None:
        over, self._carry_over = self._carry_over, None
        if over is not None or self._reading is None:
            return over
        return await anext(self._reading, None)


def _gap_end(heard: ReceivedMessage, at: int) -> int | None:
    """Up to which place upstream must be read before this message is of use; None = it is."""
    message = heard.message
    if message.next <= at:
        return None
    if heard.is_claim_check:
        return message.next
    return message.first if message.first > at else None


class BatchBuilder:
    """Contiguous messages, as many as the limits allow."""

    def __init__(self, at: int, limits: Limits) -> None:
        self.messages: list[StreamMessage] = []
        self.next = at
        self._limits = limits
        self._span = 0
        self._size = 0

    def add(self, message: StreamMessage) -> bool:
        """Takes a message, or leaves it out where nothing in it is new; False if there is no room.

        The first one always has room.
        """
        if message.next <= self.next:
            return True
        span, size = self._span + message.next - self.next, self._size + len(message.payload)
        limits = self._limits
        full = len(self.messages) >= limits.messages or span > limits.span or size > limits.size
        if full and self.messages:
            return False
        self.messages.append(message)
        self.next, self._span, self._size = message.next, span, size
        return True
