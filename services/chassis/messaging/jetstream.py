"""Connects to NATS JetStream, the fast tail of the services' streams, which may lose messages.

Subjects are `onefold.<name>.<shard>`; the stream of `onefold.log` is `ONEFOLD_LOG`. The headers of
a message contain the range of sequence numbers that it covers, so consumers need not decode
payloads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self, TypeVar

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api
from nats.js.errors import BadRequestError, NotFoundError

from services.chassis.messaging.acks import PublishAcks
from services.chassis.messaging.stream import OutboxMessage
from services.chassis.runtime.tasks import cancel_and_wait, raise_if_cancelled

log = structlog.get_logger(__name__)

#: What calls raise where NATS, or a stream, is away.
BUS_ERRORS: tuple[type[Exception], ...] = (nats.errors.Error, TimeoutError, OSError)

#: RuntimeError: uvloop refuses to write to a lost connection what the client still has buffered.
_CLOSE_ERRORS: tuple[type[Exception], ...] = (*BUS_ERRORS, RuntimeError)

RANGE_HEADER = "Onefold-Range"
#: Set where the payload is too large for NATS: consumers read it upstream.
CLAIM_CHECK = "Onefold-Upstream-Only"
_ROOT = "onefold."
#: Bytes; larger payloads are read upstream, so that a few of them do not choke a consumer.
MAX_PAYLOAD = 1_000_000
_HEADROOM = 4096
_RECONNECT_S = 0.25

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How much a stream stores; older messages are read upstream."""

    #: Seconds.
    max_age: float = 21_600.0
    #: Bytes per stream.
    max_bytes: int = 256 << 20
    #: Copies in a cluster.
    replicas: int = 1
    #: Seconds in which a repeated message id is dropped; NATS stores the ids in memory.
    duplicate_window: float = 60.0


class JetStreamBus:
    """A connection to NATS that lives as long as the service, whether NATS can be reached or not.

    `async with JetStreamBus(url, name="profile") as bus:` returns at once; it connects in the
    background and reconnects after every loss. Credentials are in the url.
    """

    def __init__(self, url: str, *, name: str, limits: StreamLimits = StreamLimits()) -> None:
        self._url = url
        self._name = name
        self._limits = limits
        self._client = Client()
        self._jetstream = self._client.jetstream()
        self._acks = PublishAcks(self._client)
        self._up = asyncio.Event()
        self._connecting: asyncio.Task[None] | None = None
        self._has_begun = False
        self._listeners: set[Callable[[], None]] = set()

    @property
    def connected(self) -> bool:
        """Whether NATS can be reached now."""
        return self._up.is_set() and self._client.is_connected

    @property
    def client(self) -> Client:
        return self._client

    @property
    def jetstream(self) -> JetStreamContext:
        return self._jetstream

    async def ready(self) -> None:
        """Wait until NATS can be reached."""
        await self._up.wait()

    async def ensure_stream(self, subject: str) -> str:
        """Create the stream of a subject such as `onefold.log` if needed; return its name."""
        name = stream_name(subject)
        try:
            await await_cancellable(self.jetstream.stream_info(name))
        except NotFoundError:
            await self._create_stream(name, subject)
        return name

    async def publish(
        self, subject: str, output: OutboxMessage, *, deduplicate: bool = True
    ) -> asyncio.Future[None]:
        """Send an output; the future is done when JetStream has stored it, or with the error.

        Without `deduplicate` no message id is sent: JetStream would recognise the id even where the
        message itself is gone.
        """
        headers = {RANGE_HEADER: f"{output.first}-{output.next}"}
        if deduplicate:
            headers["Nats-Msg-Id"] = _message_id(subject, output)
        payload = output.payload
        if len(payload) > min(MAX_PAYLOAD, self._client.max_payload - _HEADROOM):
            headers[CLAIM_CHECK], payload = "1", b""
        inbox, acknowledged = self._acks.next_reply()
        try:
            await await_cancellable(
                self._client.publish(subject, payload, reply=inbox, headers=headers)
            )
        except BaseException:
            acknowledged.cancel()
            raise
        return acknowledged

    async def last_range(self, subject: str) -> tuple[int, int] | None:
        """Return the range of the newest message of `onefold.<name>.<shard>`, if there is one."""
        name = stream_name(subject.rpartition(".")[0])
        try:
            message = await await_cancellable(self.jetstream.get_last_msg(name, subject))
        except NotFoundError:
            return None
        return range_of(message.headers)

    async def purge(self, subject: str) -> None:
        """Delete the messages of `onefold.<name>.<shard>` from the stream."""
        name = stream_name(subject.rpartition(".")[0])
        await await_cancellable(self.jetstream.purge_stream(name, subject=subject))

    async def notify(self, subject: str) -> None:
        """Notify the subscribers of `on_notify` of something new; a notification may get lost."""
        if self.connected:
            await await_cancellable(self._client.publish(_notification_subject(subject)))

    @asynccontextmanager
    async def on_notify(self, subject: str, call: Callable[[], None]) -> AsyncIterator[None]:
        """Call `call` at every notification of a subject."""

        async def receive(_: Msg) -> None:
            call()

        subscription = await await_cancellable(
            self._client.subscribe(_notification_subject(subject), cb=receive)
        )
        try:
            yield
        finally:
            await _close_quietly(subscription.unsubscribe())

    @asynccontextmanager
    async def on_reconnect(self, call: Callable[[], None]) -> AsyncIterator[None]:
        """Call `call` whenever NATS can be reached again."""
        self._listeners.add(call)
        try:
            yield
        finally:
            self._listeners.discard(call)

    async def _create_stream(self, name: str, subject: str) -> None:
        try:
            await await_cancellable(self.jetstream.add_stream(self._stream_config(name, subject)))
            log.info("stream_created", stream=name)
        except BadRequestError:
            # Another process has just created it, perhaps with other limits.
            await await_cancellable(self.jetstream.stream_info(name))

    def _stream_config(self, name: str, subject: str) -> api.StreamConfig:
        limits = self._limits
        return api.StreamConfig(
            name=name,
            subjects=[f"{subject}.>"],
            max_age=limits.max_age,
            max_bytes=limits.max_bytes,
            num_replicas=limits.replicas,
            duplicate_window=limits.duplicate_window,
            storage=api.StorageType.FILE,
            # A lost message is read upstream: a flush per message would cost eight times the work
            # and gain nothing.
            persist_mode=api.PersistMode.ASYNC if limits.replicas == 1 else None,
        )

    async def _connect(self) -> None:
        self._has_begun = True
        # -1 retries for ever, the first connection included.
        await self._client.connect(
            servers=[self._url],
            name=f"onefold:{self._name}",
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RECONNECT_S,  # type: ignore[arg-type]  # seconds, a float will do
            error_cb=self._log_error,
            disconnected_cb=self._log_disconnect,
            reconnected_cb=self._log_reconnect,
        )
        await self._acks.open()
        self._up.set()
        log.info("bus_connected")

    async def _log_error(self, error: Exception) -> None:
        log.debug("bus_error_reported", error=type(error).__name__)

    async def _log_disconnect(self) -> None:
        if self._up.is_set():
            log.warning("bus_lost")
        self._up.clear()

    async def _log_reconnect(self) -> None:
        self._up.set()
        log.info("bus_reconnected")
        for call in tuple(self._listeners):
            call()

    async def __aenter__(self) -> Self:
        self._connecting = asyncio.create_task(self._connect())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connecting is not None:
            await cancel_and_wait(self._connecting)
        self._up.clear()
        if self._has_begun:
            # A client that never began to connect raises when it is closed.
            await _close_quietly(self._acks.close())
            await _close_quietly(self._client.close())


async def await_cancellable(call: Awaitable[T]) -> T:
    """Await a call of nats-py and raise CancelledError where it swallowed a cancellation.

    nats-py catches CancelledError while it flushes, and the wait_for of Python 3.11 loses one that
    arrives together with the result. The cancelled task would never end.
    """
    try:
        return await call
    finally:
        raise_if_cancelled()


def stream_name(subject: str) -> str:
    """Return the stream of a subject: `onefold.log` is in `ONEFOLD_LOG`."""
    return subject.replace(".", "_").upper()


def range_of(headers: dict[str, str] | None) -> tuple[int, int] | None:
    """Return the half-open range that a message covers; None where its headers contain none."""
    first, dash, end = (headers or {}).get(RANGE_HEADER, "").partition("-")
    if not (dash and first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        return None
    return int(first), int(end)


def _message_id(subject: str, output: OutboxMessage) -> str:
    stream = subject.removeprefix(_ROOT).replace(".", "-")
    return f"{stream}-{output.first}-{output.next}"


def _notification_subject(subject: str) -> str:
    return f"{_ROOT}notify.{subject.removeprefix(_ROOT)}"


async def _close_quietly(closing: Awaitable[object]) -> None:
    try:
        await closing
    except _CLOSE_ERRORS as error:
        log.debug("bus_close_failed", error=type(error).__name__)
