"""What arrives on one subject, as it arrives, through a durable pull consumer.

Requests for more are kept open, so a message comes without being asked for, and the next ones come
in while a batch is folded. A consumer or stream that vanished is made again; what was missed
meanwhile shows as a gap and is read upstream.
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
from nats.js.errors import BadRequestError

from services.chassis.messaging.jetstream import (
    BUS_ERRORS,
    CLAIM_CHECK,
    MAX_PAYLOAD,
    JetStreamBus,
    await_cancellable,
    range_of,
)
from services.chassis.messaging.stream import StreamMessage
from services.chassis.runtime.tasks import cancel_and_wait, raise_if_cancelled

log = structlog.get_logger(__name__)

#: Messages that may be on their way to us and not yet taken, and bytes: NATS cuts off a client that
#: lets too many wait.
PREFETCH = 256
PREFETCH_BYTES = 4 * MAX_PAYLOAD
#: Seconds.
EXPIRES = 20.0
HEARTBEAT = 1.0
ACK_WAIT = 120.0
AWAY = 0.25
_PAUSES = (0.1, 0.2, 0.5, 1.0)
_STATUS, _PENDING = "Status", "Nats-Pending-Messages"
_HEARTBEAT_STATUS = "100"


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message of the bus."""

    message: StreamMessage
    #: Where it is acknowledged.
    reply: str
    #: The payload is not here; it is to be read upstream.
    is_claim_check: bool


class PullSubscription:
    """The messages of `subject` (such as `onefold.log.0`) for the durable consumer `durable`.

    `async with Tail(bus, subject, durable) as tail:`. Starts at the newest message: what lies
    before it, the listener reads upstream.
    """

    def __init__(self, bus: JetStreamBus, subject: str, durable: str) -> None:
        self._bus = bus
        self._subject = subject
        self._durable = durable
        self._received: deque[ReceivedMessage] = deque()
        self._size = 0
        self._arrived = asyncio.Event()
        #: Messages asked for and not yet come.
        self._open = 0
        self._disturbed = asyncio.Event()
        self._lost = False
        self._alive_at = 0.0
        self._stream = ""
        self._inbox = ""
        self._running: asyncio.Task[None] | None = None

    async def wait(self, silence: float) -> ReceivedMessage | None:
        """The next message, which stays the next one; None where none came for some seconds.

        Where NATS is away, that is told sooner.
        """
        if not self._received:
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(silence if self._bus.connected else min(silence, AWAY)):
                    await self._arrived.wait()
        return self.peek()

    def interrupt(self) -> None:
        """Make a `wait` that is under way return."""
        self._arrived.set()

    def high_water_mark(self, at: int) -> int:
        """The place after the last message that is here, or `at` where that is later."""
        return max(at, self._received[-1].message.next) if self._received else at

    def peek(self) -> ReceivedMessage | None:
        """The next message, if it is there already; it stays the next one."""
        return self._received[0] if self._received else None

    def pop(self) -> None:
        """Takes the next message."""
        self._size -= len(self._received.popleft().message.payload)
        if self._has_room():
            self._disturbed.set()

    def _has_room(self) -> bool:
        return (
            len(self._received) + self._open <= PREFETCH // 2 and self._size <= PREFETCH_BYTES // 2
        )

    async def ack(self, heard: ReceivedMessage) -> None:
        """Acknowledges a message and all before it. NATS being away is no error: it comes again."""
        if self._bus.connected:
            try:
                await await_cancellable(self._bus.client.publish(heard.reply, b"+ACK"))
            except BUS_ERRORS as error:
                log.debug("ack_lost", subject=self._subject, error=type(error).__name__)

    async def _run(self) -> None:
        """Keeps a consumer, a subscription and open requests, whatever happens to NATS."""
        failures = 0
        while True:
            try:
                await self._bus.ready()
                async with self._attached():
                    failures = 0
                    await self._keep_requests_open()
            except BUS_ERRORS as error:
                log.info("tail_lost", subject=self._subject, error=type(error).__name__)
            raise_if_cancelled()
            await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
            failures += 1

    @asynccontextmanager
    async def _attached(self) -> AsyncIterator[None]:
        self._stream = await self._bus.ensure_stream(self._subject.rpartition(".")[0])
        await self._ensure_consumer()
        client = self._bus.client
        subscription = await await_cancellable(
            client.subscribe(client.new_inbox(), cb=self._receive)
        )
        self._inbox, self._open, self._lost = subscription.subject, 0, False
        self._note_heartbeat()
        try:
            yield
        finally:
            with suppress(*BUS_ERRORS):
                await await_cancellable(subscription.unsubscribe())

    async def _ensure_consumer(self) -> None:
        jetstream = self._bus.jetstream
        try:
            await await_cancellable(jetstream.add_consumer(self._stream, self._config()))
        except BadRequestError:
            # One of that name is there, of another make.
            await await_cancellable(jetstream.delete_consumer(self._stream, self._durable))
            await await_cancellable(jetstream.add_consumer(self._stream, self._config()))

    def _config(self) -> api.ConsumerConfig:
        return api.ConsumerConfig(
            durable_name=self._durable,
            filter_subject=self._subject,
            deliver_policy=api.DeliverPolicy.LAST,
            # One shard has one listener that works in order: one acknowledgement a batch will do.
            ack_policy=api.AckPolicy.ALL,
            ack_wait=ACK_WAIT,
            max_ack_pending=PREFETCH * 100,
            # The position in PostgreSQL is the truth; this one may be forgotten.
            mem_storage=True,
        )

    async def _keep_requests_open(self) -> None:
        while not self._lost:
            self._disturbed.clear()
            await self._request()
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT):
                    await self._disturbed.wait()
            if self._loop.time() - self._alive_at > 3 * HEARTBEAT:
                log.info("tail_silent", subject=self._subject)
                return

    async def _request(self) -> None:
        if not self._has_room():
            return
        missing = PREFETCH - self._open - len(self._received)
        request = {
            "batch": missing,
            "max_bytes": PREFETCH_BYTES,
            "expires": int(EXPIRES * 1e9),
            "idle_heartbeat": int(HEARTBEAT * 1e9),
        }
        self._open += missing
        place = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._durable}"
        asking = json.dumps(request).encode()
        await await_cancellable(self._bus.client.publish(place, asking, reply=self._inbox))

    async def _receive(self, msg: Msg) -> None:
        self._note_heartbeat()
        headers = msg.headers or {}
        status = headers.get(_STATUS)
        if status is not None:
            self._receive_status(status, headers)
            return
        self._open = max(0, self._open - 1)
        covered = range_of(headers)
        if covered is None:
            log.warning("message_without_range_dropped", subject=self._subject)
            return
        self._received.append(
            ReceivedMessage(StreamMessage(*covered, msg.data), msg.reply, CLAIM_CHECK in headers)
        )
        self._arrived.set()

    def _receive_status(self, status: str, headers: dict[str, str]) -> None:
        if status == _HEARTBEAT_STATUS:
            return
        if _PENDING in headers:
            # A request ended before all of it came: its time was up, or the server was full.
            self._open = max(0, self._open - int(headers[_PENDING]))
            self._disturbed.set()
        else:
            self._mark_lost()

    def _mark_lost(self) -> None:
        """The consumer is gone, or what was asked for will not come."""
        self._lost = True
        self._disturbed.set()

    def _note_heartbeat(self) -> None:
        self._alive_at = self._loop.time()

    async def _watch_heartbeats(self) -> None:
        async with self._bus.on_reconnect(self._mark_lost):
            await self._run()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._running = self._loop.create_task(self._watch_heartbeats())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._running is not None:
            await cancel_and_wait(self._running)
