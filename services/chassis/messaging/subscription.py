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
    LARGEST,
    UPSTREAM_ONLY,
    Bus,
    heed,
    range_of,
)
from services.chassis.messaging.stream import Message
from services.chassis.runtime.tasks import end, end_if_cancelled

log = structlog.get_logger(__name__)

#: Messages that may be on their way to us and not yet taken, and bytes: NATS cuts off a client that
#: lets too many wait.
WINDOW = 256
WINDOW_SIZE = 4 * LARGEST
#: Seconds.
EXPIRES = 20.0
HEARTBEAT = 1.0
ACK_WAIT = 120.0
AWAY = 0.25
_PAUSES = (0.1, 0.2, 0.5, 1.0)
_STATUS, _PENDING = "Status", "Nats-Pending-Messages"
_HEARTBEAT_STATUS = "100"


@dataclass(frozen=True, slots=True)
class Heard:
    """A message of the bus."""

    message: Message
    #: Where it is acknowledged.
    reply: str
    #: The payload is not here; it is to be read upstream.
    upstream_only: bool


class Tail:
    """The messages of `subject` (such as `onefold.log.0`) for the durable consumer `durable`.

    `async with Tail(bus, subject, durable) as tail:`. Starts at the newest message: what lies
    before it, the listener reads upstream.
    """

    def __init__(self, bus: Bus, subject: str, durable: str) -> None:
        self._bus = bus
        self._subject = subject
        self._durable = durable
        self._heard: deque[Heard] = deque()
        self._size = 0
        self._arrived = asyncio.Event()
        #: Messages asked for and not yet come.
        self._open = 0
        self._disturbed = asyncio.Event()
        self._gone = False
        self._alive_at = 0.0
        self._stream = ""
        self._inbox = ""
        self._keeping: asyncio.Task[None] | None = None

    async def wait(self, silence: float) -> Heard | None:
        """The next message, which stays the next one; None where none came for some seconds.

        Where NATS is away, that is told sooner.
        """
        if not self._heard:
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(silence if self._bus.connected else min(silence, AWAY)):
                    await self._arrived.wait()
        return self.peek()

    def newest(self, at: int) -> int:
        """The place after the last message that is here, or `at` where that is later."""
        return max(at, self._heard[-1].message.next) if self._heard else at

    def peek(self) -> Heard | None:
        """The next message, if it is there already; it stays the next one."""
        return self._heard[0] if self._heard else None

    def skip(self) -> None:
        """Takes the next message."""
        self._size -= len(self._heard.popleft().message.payload)
        if self._has_room():
            self._disturbed.set()

    def _has_room(self) -> bool:
        return len(self._heard) + self._open <= WINDOW // 2 and self._size <= WINDOW_SIZE // 2

    async def ack(self, heard: Heard) -> None:
        """Acknowledges a message and all before it. NATS being away is no error: it comes again."""
        if self._bus.connected:
            try:
                await heed(self._bus.client.publish(heard.reply, b"+ACK"))
            except BUS_ERRORS as error:
                log.debug("ack_lost", subject=self._subject, error=type(error).__name__)

    async def _keep(self) -> None:
        """Keeps a consumer, a subscription and open requests, whatever happens to NATS."""
        failures = 0
        while True:
            try:
                await self._bus.ready()
                async with self._attached():
                    failures = 0
                    await self._ask_on()
            except BUS_ERRORS as error:
                log.info("tail_lost", subject=self._subject, error=type(error).__name__)
            end_if_cancelled()
            await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
            failures += 1

    @asynccontextmanager
    async def _attached(self) -> AsyncIterator[None]:
        self._stream = await self._bus.ensure_stream(self._subject.rpartition(".")[0])
        await self._ensure_consumer()
        client = self._bus.client
        subscription = await heed(client.subscribe(client.new_inbox(), cb=self._hear))
        self._inbox, self._open, self._gone = subscription.subject, 0, False
        self._note_life()
        try:
            yield
        finally:
            with suppress(*BUS_ERRORS):
                await heed(subscription.unsubscribe())

    async def _ensure_consumer(self) -> None:
        jetstream = self._bus.jetstream
        try:
            await heed(jetstream.add_consumer(self._stream, self._config()))
        except BadRequestError:
            # One of that name is there, of another make.
            await heed(jetstream.delete_consumer(self._stream, self._durable))
            await heed(jetstream.add_consumer(self._stream, self._config()))

    def _config(self) -> api.ConsumerConfig:
        return api.ConsumerConfig(
            durable_name=self._durable,
            filter_subject=self._subject,
            deliver_policy=api.DeliverPolicy.LAST,
            # One shard has one listener that works in order: one acknowledgement a batch will do.
            ack_policy=api.AckPolicy.ALL,
            ack_wait=ACK_WAIT,
            max_ack_pending=WINDOW * 100,
            # The position in PostgreSQL is the truth; this one may be forgotten.
            mem_storage=True,
        )

    async def _ask_on(self) -> None:
        while not self._gone:
            self._disturbed.clear()
            await self._ask()
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT):
                    await self._disturbed.wait()
            if self._loop.time() - self._alive_at > 3 * HEARTBEAT:
                log.info("tail_silent", subject=self._subject)
                return

    async def _ask(self) -> None:
        if not self._has_room():
            return
        missing = WINDOW - self._open - len(self._heard)
        request = {
            "batch": missing,
            "max_bytes": WINDOW_SIZE,
            "expires": int(EXPIRES * 1e9),
            "idle_heartbeat": int(HEARTBEAT * 1e9),
        }
        self._open += missing
        place = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._durable}"
        asking = json.dumps(request).encode()
        await heed(self._bus.client.publish(place, asking, reply=self._inbox))

    async def _hear(self, msg: Msg) -> None:
        self._note_life()
        headers = msg.headers or {}
        status = headers.get(_STATUS)
        if status is not None:
            self._hear_status(status, headers)
            return
        self._open = max(0, self._open - 1)
        covered = range_of(headers)
        if covered is None:
            log.warning("message_without_range_dropped", subject=self._subject)
            return
        self._heard.append(Heard(Message(*covered, msg.data), msg.reply, UPSTREAM_ONLY in headers))
        self._arrived.set()

    def _hear_status(self, status: str, headers: dict[str, str]) -> None:
        if status == _HEARTBEAT_STATUS:
            return
        if _PENDING in headers:
            # A request ended before all of it came: its time was up, or the server was full.
            self._open = max(0, self._open - int(headers[_PENDING]))
            self._disturbed.set()
        else:
            self._lose()

    def _lose(self) -> None:
        """The consumer is gone, or what was asked for will not come."""
        self._gone = True
        self._disturbed.set()

    def _note_life(self) -> None:
        self._alive_at = self._loop.time()

    async def _live(self) -> None:
        async with self._bus.at_reconnect(self._lose):
            await self._keep()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._keeping = self._loop.create_task(self._live())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._keeping is not None:
            await end(self._keeping)
