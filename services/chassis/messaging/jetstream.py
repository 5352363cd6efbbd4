"""NATS as the fast tail: streams, what is published, what is heard. Never the truth.

Subjects are `onefold.<what>.<shard>`; the stream of `onefold.log` is `ONEFOLD_LOG`. Each message
tells in its headers which range of the coordinate it covers, so nobody opens a payload to place it.
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

#: What may be raised where NATS is away, or a stream is.
BUS_ERRORS: tuple[type[Exception], ...] = (nats.errors.Error, TimeoutError, OSError)

#: RuntimeError: uvloop refuses to write what the client still has to a connection that is gone.
_ENDINGS: tuple[type[Exception], ...] = (*BUS_ERRORS, RuntimeError)

RANGE_HEADER = "Onefold-Range"
#: Set where the payload is too large for NATS: it is to be read upstream.
CLAIM_CHECK = "Onefold-Upstream-Only"
_ROOT = "onefold."
#: Bytes; larger payloads are read upstream, so that a few of them do not choke a listener.
MAX_PAYLOAD = 1_000_000
_HEADROOM = 4096
_RECONNECT_PAUSE = 0.25

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How much a stream keeps. It is a tail: what is older is read upstream."""

    #: Seconds.
    max_age: float = 21_600.0
    #: Bytes a stream.
    max_bytes: int = 256 << 20
    #: Copies in a cluster.
    replicas: int = 1
    #: Seconds in which a message id is known again; NATS keeps the ids in memory.
    duplicate_window: float = 60.0


class JetStreamBus:
    """A connection to NATS that lives as long as the service, whether NATS is there or not.

    `async with Bus(url, name="profile") as bus:` answers at once; it connects behind the scenes and
    again after every loss. Credentials are in the url.
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
        self._begun = False
        self._listeners: set[Callable[[], None]] = set()

    @property
    def connected(self) -> bool:
        """Whether NATS can be reached now."""
        return self._up.is_set() and self._client.is_connected

    @property
    def client(self) -> Client:
        """The connection itself."""
        return self._client

    @property
    def jetstream(self) -> JetStreamContext:
        """JetStream over the connection."""
        return self._jetstream

    async def ready(self) -> None:
        """Waits until NATS can be reached."""
        await self._up.wait()

    async def ensure_stream(self, subject: str) -> str:
        """Makes the stream of a subject such as `onefold.log`, if it is missing; its name."""
        name = stream_name(subject)
        try:
            await await_cancellable(self.jetstream.stream_info(name))
        except NotFoundError:
            await self._make_stream(name, subject)
        return name

    async def publish(
        self, subject: str, output: OutboxMessage, *, again: bool = False
    ) -> asyncio.Future[None]:
        """Sends an output; the future ends when JetStream has it, or with the error.

        `again`: without the message id, which would be known even where the message is gone.
        """
        headers = {RANGE_HEADER: f"{output.first}-{output.next}"}
        if not again:
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
        """The range of the newest message of `onefold.<what>.<shard>`; None where there is none."""
        name = stream_name(subject.rpartition(".")[0])
        try:
            message = await await_cancellable(self.jetstream.get_last_msg(name, subject))
        except NotFoundError:
            return None
        return range_of(message.headers)

    async def purge(self, subject: str) -> None:
        """Drops what the stream has of `onefold.<what>.<shard>`."""
        name = stream_name(subject.rpartition(".")[0])
        await await_cancellable(self.jetstream.purge_stream(name, subject=subject))

    async def notify(self, subject: str) -> None:
        """Tells those who listen with `nudged` that there is something new; may get lost."""
        if self.connected:
            await await_cancellable(self._client.publish(_notification_subject(subject)))

    @asynccontextmanager
    async def on_notify(self, subject: str, call: Callable[[], None]) -> AsyncIterator[None]:
        """Calls `call` at every nudge of a subject."""

        async def hear(_: Msg) -> None:
            call()

        subscription = await await_cancellable(
            self._client.subscribe(_notification_subject(subject), cb=hear)
        )
        try:
            yield
        finally:
            await _quietly(subscription.unsubscribe())

    @asynccontextmanager
    async def on_reconnect(self, call: Callable[[], None]) -> AsyncIterator[None]:
        """Calls `call` whenever NATS is back."""
        self._listeners.add(call)
        try:
            yield
        finally:
            self._listeners.discard(call)

    async def _make_stream(self, name: str, subject: str) -> None:
        try:
            await await_cancellable(self.jetstream.add_stream(self._stream_config(name, subject)))
            log.info("stream_made", stream=name)
        except BadRequestError:
            # Somebody else has just made it, perhaps with other limits.
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
            # What is lost here is read upstream: a flush a message would buy nothing, and costs
            # eight times the work.
            persist_mode=api.PersistMode.ASYNC if limits.replicas == 1 else None,
        )

    async def _connect(self) -> None:
        self._begun = True
        # Tries for ever: -1 also holds for the first connection.
        await self._client.connect(
            servers=[self._url],
            name=f"onefold:{self._name}",
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RECONNECT_PAUSE,  # type: ignore[arg-type]  # seconds, a float will do
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
        if self._begun:
            # A client that never began to connect takes being closed for a fault of ours.
            await _quietly(self._acks.close())
            await _quietly(self._client.close())


async def await_cancellable(call: Awaitable[T]) -> T:
    """Awaits a call of nats-py and heeds a cancellation that came meanwhile.

    nats-py swallows some: it catches CancelledError while it flushes, and the wait_for of Python
    3.11 loses one that comes together with the answer. Whoever is cancelled would wait for ever.
    """
    try:
        return await call
    finally:
        raise_if_cancelled()


def stream_name(subject: str) -> str:
    """The stream of a subject: `onefold.log` is in `ONEFOLD_LOG`."""
    return subject.replace(".", "_").upper()


def range_of(headers: dict[str, str] | None) -> tuple[int, int] | None:
    """The half-open range that a message covers; None where it tells none."""
    first, dash, until = (headers or {}).get(RANGE_HEADER, "").partition("-")
    if not (dash and first.isdecimal() and until.isdecimal() and int(first) < int(until)):
        return None
    return int(first), int(until)


def _message_id(subject: str, output: OutboxMessage) -> str:
    what = subject.removeprefix(_ROOT).replace(".", "-")
    return f"{what}-{output.first}-{output.next}"


def _notification_subject(subject: str) -> str:
    return f"{_ROOT}nudge.{subject.removeprefix(_ROOT)}"


async def _quietly(ending: Awaitable[object]) -> None:
    try:
        await ending
    except _ENDINGS as error:
        log.debug("bus_error_at_end", error=type(error).__name__)
