"""Receives the messages of one subject through a durable pull consumer.

Pull requests are always open, so messages arrive without delay, also while a batch is folded. A
consumer that vanished is created again once its stream exists; messages missed in between show as a
gap and are read upstream, as do those that are dropped because their MAC is not valid.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Self

import structlog
from nats.aio.msg import Msg
from nats.js import api
from nats.js.errors import NotFoundError

from services.chassis.messaging.jetstream import (
    BUS_ERRORS,
    MAX_PAYLOAD,
    JetStreamBus,
    await_cancellable,
    stream_name,
)
from services.chassis.messaging.stream import StreamMessage
from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.tasks import cancel_and_wait, raise_if_cancelled

log = structlog.get_logger(__name__)

#: Messages, and bytes, that may be requested or wait to be popped: NATS disconnects a client that
#: lets too many wait.
PREFETCH = 256
PREFETCH_BYTES = 4 * MAX_PAYLOAD
#: Seconds.
EXPIRES = 20.0
HEARTBEAT = 1.0
ACK_WAIT = 120.0
#: Seconds for which `wait` waits at most while NATS cannot be reached.
DISCONNECTED_WAIT_S = 0.25
_STATUS, _PENDING = "Status", "Nats-Pending-Messages"
_HEARTBEAT_STATUS = "100"


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message of the bus."""

    message: StreamMessage
    #: The subject on which it is acknowledged.
    reply: str
    #: The payload was too large for the bus; it is read upstream.
    is_claim_check: bool


class PullSubscription:
    """The messages of `subject` (such as `onefold.log.0`) for the durable consumer `durable`.

    `async with PullSubscription(bus, subject, durable) as subscription:`. It starts at the newest
    message; the consumer reads earlier ones upstream.
    """

    def __init__(self, bus: JetStreamBus, subject: str, durable: str) -> None:
        self._bus = bus
        self._subject = subject
        self._durable = durable
        self._received: deque[ReceivedMessage] = deque()
        self._received_bytes = 0
        self._arrived = asyncio.Event()
        #: Messages that are requested and have not arrived.
        self._requested = 0
        self._request_needed = asyncio.Event()
        #: Messages that were dropped since the last acknowledgement of one.
        self._dropped = 0
        self._lost = False
        self._alive_at = 0.0
        self._stream = stream_name(subject.rpartition(".")[0])
        #: The beginning of the subjects on which JetStream expects acknowledgements.
        self._ack_prefix = f"$JS.ACK.{self._stream}.{durable}."
        self._inbox = ""
        # With its label the counter is served from the beginning, as 0.
        self._of_other_lives = bus.metrics.bus_messages_of_other_lives.labels(subject)

    async def wait(self, timeout: float) -> ReceivedMessage | None:
        """Return the next message and leave it there; None where none arrived within `timeout`.

        In seconds; while NATS cannot be reached, give up sooner.
        """
        if not self._received:
            self._arrived.clear()
            limit = timeout if self._bus.connected else min(timeout, DISCONNECTED_WAIT_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(limit):
                    await self._arrived.wait()
        return self.peek()

    def interrupt(self) -> None:
        """Make a `wait` that is under way return."""
        self._arrived.set()

    def high_water_mark(self, at: int) -> int:
        """Return the sequence number after the last message here, or `at` where that is later."""
        return max(at, self._received[-1].message.next) if self._received else at

    def peek(self) -> ReceivedMessage | None:
        """Return the next message, if there is one, and leave it there."""
        return self._received[0] if self._received else None

    def note_other_life(self) -> None:
        """Count a message that is read upstream because it belongs to another life."""
        self._of_other_lives.inc()

    def pop(self) -> None:
        self._received_bytes -= len(self._received.popleft().message.payload)
        if self._has_capacity():
            self._request_needed.set()

    def _has_capacity(self) -> bool:
        messages = len(self._received) + self._requested
        return messages <= PREFETCH // 2 and self._received_bytes <= PREFETCH_BYTES // 2

    async def ack(self, received: ReceivedMessage) -> None:
        """Acknowledge a message and all before it. Without NATS, they are delivered again."""
        await self._send_ack(received.reply)

    async def _send_ack(self, reply: str) -> None:
        if self._bus.connected:
            try:
                await await_cancellable(self._bus.client.publish(reply, b"+ACK"))
            except BUS_ERRORS as error:
                log.debug("ack_lost", subject=self._subject, error=type(error).__name__)

    async def _run(self) -> None:
        """Keep a consumer, a subscription and open requests, whatever happens to NATS."""
        backoff = Backoff(first_s=0.1, max_s=1.0)
        async with self._bus.on_reconnect(self._mark_lost):
            while True:
                try:
                    await self._bus.ready()
                    async with self._attached():
                        backoff.reset()
                        await self._keep_requests_open()
                except NotFoundError:
                    # The service upstream creates the stream.
                    log.debug("stream_awaited", subject=self._subject)
                except BUS_ERRORS as error:
                    log.info("subscription_lost", subject=self._subject, error=type(error).__name__)
                raise_if_cancelled()
                await asyncio.sleep(backoff.next_s())

    @asynccontextmanager
    async def _attached(self) -> AsyncIterator[None]:
        await self._ensure_consumer()
        client = self._bus.client
        subscription = await await_cancellable(
            client.subscribe(client.new_inbox(), cb=self._receive)
        )
        self._inbox, self._requested, self._lost = subscription.subject, 0, False
        self._alive_at = self._loop.time()
        try:
            yield
        finally:
            with suppress(*BUS_ERRORS):
                await await_cancellable(subscription.unsubscribe())

    async def _ensure_consumer(self) -> None:
        config = api.ConsumerConfig(
            # With a name, the subject of the request contains it and the filter, for permissions.
            name=self._durable,
            durable_name=self._durable,
            filter_subject=self._subject,
            deliver_policy=api.DeliverPolicy.LAST,
            # A shard has one consumer, which works in order: one acknowledgement a batch is enough.
            ack_policy=api.AckPolicy.ALL,
            ack_wait=ACK_WAIT,
            max_ack_pending=PREFETCH * 100,
            # The checkpoint in PostgreSQL decides; NATS may forget its own.
            mem_storage=True,
        )
        await self._bus.ensure_consumer(self._stream, config)

    async def _keep_requests_open(self) -> None:
        while not self._lost:
            self._request_needed.clear()
            await self._request()
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT):
                    await self._request_needed.wait()
            if self._loop.time() - self._alive_at > 3 * HEARTBEAT:
                log.info("subscription_stalled", subject=self._subject)
                return

    async def _request(self) -> None:
        if not self._has_capacity():
            return
        missing = PREFETCH - self._requested - len(self._received)
        request = {
            "batch": missing,
            "max_bytes": PREFETCH_BYTES,
            "expires": int(EXPIRES * 1e9),
            "idle_heartbeat": int(HEARTBEAT * 1e9),
        }
        self._requested += missing
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._durable}"
        payload = json.dumps(request).encode()
        await await_cancellable(self._bus.client.publish(subject, payload, reply=self._inbox))

    async def _receive(self, msg: Msg) -> None:
        self._alive_at = self._loop.time()
        headers = msg.headers or {}
        if not msg.reply.startswith(self._ack_prefix):
            # No message of the stream, whatever its headers are.
            self._receive_status(headers.get(_STATUS, ""), headers)
            return
        self._requested = max(0, self._requested - 1)
        envelope = self._bus.authenticator.verify(self._subject, headers, msg.data)
        if envelope is None:
            self._bus.reject(self._subject)
            await self._drop(msg.reply)
            return
        message = StreamMessage(envelope.first, envelope.next, msg.data, envelope.life)
        self._received.append(ReceivedMessage(message, msg.reply, envelope.is_claim_check))
        self._received_bytes += len(msg.data)
        self._arrived.set()

    async def _drop(self, reply: str) -> None:
        """Make room for the messages after a dropped one.

        JetStream delivers only so many that are not acknowledged. Where no message waits here, the
        dropped ones are acknowledged now and then, and with them all before: what a crash would
        then miss is read upstream.
        """
        if self._has_capacity():
            self._request_needed.set()
        self._dropped += 1
        if not self._received and self._dropped >= PREFETCH:
            self._dropped = 0
            await self._send_ack(reply)

    def _receive_status(self, status: str, headers: dict[str, str]) -> None:
        if status == _HEARTBEAT_STATUS:
            return
        if _PENDING in headers:
            # A request ended before all its messages arrived: it expired, or reached a limit.
            pending = headers[_PENDING]
            ended = int(pending) if pending.isdecimal() and len(pending) < 10 else 0
            self._requested = max(0, self._requested - ended)
            self._request_needed.set()
        else:
            self._mark_lost()

    def _mark_lost(self) -> None:
        """Subscribe again: the consumer was deleted, or requested messages will not arrive."""
        self._lost = True
        self._request_needed.set()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._running = self._loop.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel_and_wait(self._running)
