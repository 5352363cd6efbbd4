"""Connects to NATS JetStream, the fast tail of the services' streams, which may lose messages.

Subjects are `onefold.<name>.<shard>`; the stream of `onefold.log` is `ONEFOLD_LOG`. The headers of
a message contain the range of sequence numbers that it covers, so consumers need not decode
payloads, and a MAC, without which a message counts as absent.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Self, TypeVar

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import api
from nats.js.errors import (
    APIError,
    BadRequestError,
    NoStreamResponseError,
    NotFoundError,
    ServerError,
)

from services.chassis.messaging.envelope import MAC_HEADER, Envelope, MessageAuthenticator
from services.chassis.messaging.stream import OutboxMessage
from services.chassis.runtime.nats_servers import NatsServers
from services.chassis.runtime.tasks import cancel_and_wait, raise_if_cancelled
from services.chassis.runtime.telemetry import Metrics

log = structlog.get_logger(__name__)

#: Errors that calls raise if NATS or a stream is unavailable.
BUS_ERRORS: tuple[type[Exception], ...] = (nats.errors.Error, TimeoutError, OSError)

#: RuntimeError: uvloop refuses to flush the client's buffer to a lost connection.
_CLOSE_ERRORS: tuple[type[Exception], ...] = (*BUS_ERRORS, RuntimeError)

#: The server's code of the error that a consumer of the name delivers to a subject.
_PUSH_CONSUMER_EXISTS = 10012
_ROOT = "onefold."
#: Bytes; larger payloads are read upstream, so that a few of them do not choke a consumer.
MAX_PAYLOAD = 1_000_000
_HEADROOM = 4096
_RECONNECT_S = 0.25
#: Seconds between two log lines about rejected messages of a subject.
_REJECTION_LOG_S = 60.0

#: How much a stream stores, in seconds and bytes; older messages are read upstream.
_MAX_AGE_S, _MAX_BYTES = 21_600.0, 256 << 20
#: Seconds in which a repeated message id is dropped; NATS stores the ids in memory.
_DUPLICATE_WINDOW_S = 60.0

T = TypeVar("T")


class JetStreamBus:
    """A connection to NATS that lives as long as the service, whether NATS can be reached or not.

    `async with JetStreamBus(url, name="profile") as bus:` returns at once; it connects in the
    background and reconnects after every loss. The url has credentials, and may name several
    servers of a cluster. Replies arrive below `_INBOX.<name>.`, which only this service may be
    permitted to subscribe to.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        authenticator: MessageAuthenticator,
        metrics: Metrics | None = None,
        replicas: int = 1,
    ) -> None:
        """`replicas` are those of the streams that the service makes, in a cluster.

        Raises ValueError where the url is malformed.
        """
        self._servers = NatsServers.parse(url)
        self._name = name
        self.replicas = replicas
        self.authenticator = authenticator
        self.metrics = metrics or Metrics(name)
        # On the page from the start: a counter that appears with its first value has no rate.
        self._rejected = self.metrics.bus_messages_rejected
        #: By subject: rejected messages that are not logged yet, and when the next line may follow.
        self._rejections: dict[str, tuple[int, float]] = {}
        self.client = Client()
        self.jetstream = self.client.jetstream()
        self._up = asyncio.Event()
        self._has_begun = False
        self._listeners: set[Callable[[], None]] = set()
        #: All acknowledgements arrive here, each on its own subject below it.
        self._ack_inbox = ""
        self._ack_numbers = count()
        self._expected_acks: dict[str, asyncio.Future[None]] = {}

    @property
    def connected(self) -> bool:
        """Return whether NATS can be reached now."""
        return self._up.is_set() and self.client.is_connected

    async def ready(self) -> None:
        """Wait until NATS can be reached."""
        await self._up.wait()

    async def ensure_stream(self, subject: str) -> str:
        """Create the stream of a subject such as `onefold.log` if needed; return its name."""
        name = stream_name(subject)
        await self.make_stream(_stream_config(name, subject, self.replicas))
        return name

    async def make_stream(self, config: api.StreamConfig) -> None:
        """Create a stream if it does not exist; log where it has another number of replicas."""
        name = config.name or ""
        try:
            found = await await_cancellable(self.jetstream.stream_info(name))
        except NotFoundError:
            try:
                await await_cancellable(self.jetstream.add_stream(config))
                log.info("stream_created", stream=name, replicas=config.num_replicas)
                return
            except BadRequestError:
                # Another process has just created it, perhaps with other limits.
                found = await await_cancellable(self.jetstream.stream_info(name))
        if found.config.num_replicas != config.num_replicas:
            # A service may not change a stream: it could make it copy one that it may not read.
            log.warning(
                "stream_replicas_differ",
                stream=name,
                found=found.config.num_replicas,
                expected=config.num_replicas,
                remedy=f"run `nats stream edit {name} --replicas {config.num_replicas}`",
            )

    async def ensure_consumer(self, stream: str, config: api.ConsumerConfig) -> None:
        """Create a durable consumer, or replace one of its name with another configuration.

        What that one has delivered without an acknowledgement is delivered again.
        """
        try:
            await await_cancellable(self.jetstream.add_consumer(stream, config))
            return
        except BadRequestError:
            pass
        except ServerError as error:
            if error.err_code != _PUSH_CONSUMER_EXISTS:
                raise
        name = config.durable_name or ""
        log.warning("consumer_replaced", stream=stream, consumer=name)
        await await_cancellable(self.jetstream.delete_consumer(stream, name))
        await await_cancellable(self.jetstream.add_consumer(stream, config))

    async def publish(
        self, subject: str, output: OutboxMessage, *, deduplicate: bool = True
    ) -> asyncio.Future[None]:
        """Send an output; the future is done when JetStream has stored it, or with its APIError.

        The future may never be done: the caller sets a limit and cancels it. Without `deduplicate`
        no message id is sent, which JetStream would recognise even where the message is gone.
        """
        payload = output.payload
        is_claim_check = len(payload) > self._max_payload()
        if is_claim_check:
            payload = b""
        envelope = Envelope(output.first, output.next, is_claim_check, output.life)
        headers = self.authenticator.headers(subject, envelope, payload)
        if deduplicate:
            # An id that others could foresee would let them make JetStream drop this message.
            headers["Nats-Msg-Id"] = headers[MAC_HEADER]
        reply, acknowledged = self._expect_ack()
        try:
            await await_cancellable(
                self.client.publish(subject, payload, reply=reply, headers=headers)
            )
        except BaseException:
            acknowledged.cancel()
            raise
        return acknowledged

    def _max_payload(self) -> int:
        return min(MAX_PAYLOAD, self.client.max_payload - _HEADROOM)

    async def last_envelope(self, subject: str) -> Envelope | None:
        """Return the envelope of the newest message of `onefold.<name>.<shard>`.

        None where there is none, or where the newest one is not of this installation.
        """
        name = stream_name(subject.rpartition(".")[0])
        try:
            message = await await_cancellable(self.jetstream.get_last_msg(name, subject))
        except NotFoundError:
            return None
        envelope = self.authenticator.verify(subject, message.headers, message.data or b"")
        if envelope is None:
            self.reject(subject)
        return envelope

    async def purge(self, subject: str) -> None:
        """Delete the messages of `onefold.<name>.<shard>` from the stream."""
        name = stream_name(subject.rpartition(".")[0])
        await await_cancellable(self.jetstream.purge_stream(name, subject=subject))

    async def notify(self, subject: str, end: int) -> None:
        """Notify the subscribers of `on_notify` that the store has messages up to `end`.

        A notification may get lost.
        """
        if end > 0:
            await self.hand_over(subject, OutboxMessage(0, end, b""))

    async def hand_over(self, subject: str, output: OutboxMessage) -> None:
        """Send a committed output to the subscribers of `on_notify`; one of them publishes it.

        It may get lost. Of one that is too large only the end is sent.
        """
        if not self.connected:
            return
        payload = output.payload if len(output.payload) <= self._max_payload() else b""
        notified = _notification_subject(subject)
        envelope = Envelope(output.first, output.next, life=output.life)
        headers = self.authenticator.headers(notified, envelope, payload)
        await await_cancellable(self.client.publish(notified, payload, headers=headers))

    @asynccontextmanager
    async def on_notify(
        self, subject: str, call: Callable[[OutboxMessage], None]
    ) -> AsyncIterator[None]:
        """Call `call` at every notification of a subject, with the output that it hands over.

        The output's payload is empty where the notification only names its end.
        """
        notified = _notification_subject(subject)

        async def receive(msg: Msg) -> None:
            envelope = self.authenticator.verify(notified, msg.headers, msg.data)
            if envelope is None:
                self.reject(notified)
            else:
                call(OutboxMessage(envelope.first, envelope.next, msg.data, envelope.life))

        subscription = await await_cancellable(self.client.subscribe(notified, cb=receive))
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

    def reject(self, subject: str) -> None:
        """Count a message that has no valid MAC; log it where no line of the subject is recent."""
        self._rejected.labels(subject).inc()
        now = asyncio.get_running_loop().time()
        count, next_at = self._rejections.get(subject, (0, 0.0))
        if now >= next_at:
            log.warning("message_rejected", subject=subject, reason="MAC_INVALID", count=count + 1)
            self._rejections[subject] = 0, now + _REJECTION_LOG_S
        else:
            self._rejections[subject] = count + 1, next_at

    def _expect_ack(self) -> tuple[str, asyncio.Future[None]]:
        """Return the reply subject of the next message, and the future of its acknowledgement.

        `JetStreamContext.publish_async` does the same, but it never frees the slot of a message
        whose sending raised, so its window closes in the course of many outages, and it turns a
        cancellation into its own error.
        """
        reply = f"{self._ack_inbox}.{next(self._ack_numbers)}"
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._expected_acks[reply] = acknowledged
        acknowledged.add_done_callback(lambda _: self._expected_acks.pop(reply, None))
        return reply, acknowledged

    async def _receive_ack(self, msg: Msg) -> None:
        acknowledged = self._expected_acks.get(msg.subject)
        if acknowledged is None or acknowledged.done():
            return
        if not msg.data:
            # No stream has the subject.
            acknowledged.set_exception(NoStreamResponseError())
            return
        try:
            error = json.loads(msg.data).get("error")
        except (ValueError, AttributeError):
            log.debug("ack_malformed")
            return
        if error is not None:
            acknowledged.set_exception(APIError(error.get("code"), error.get("description")))
        else:
            acknowledged.set_result(None)

    async def _connect(self) -> None:
        self._has_begun = True
        # -1 retries forever, the first connection included.
        await self.client.connect(
            **self._servers.as_options(),
            name=f"onefold:{self._name}",
            inbox_prefix=f"_INBOX.{self._name}",
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RECONNECT_S,  # type: ignore[arg-type]  # seconds, a float will do
            error_cb=self._log_error,
            disconnected_cb=self._log_disconnect,
            reconnected_cb=self._log_reconnect,
        )
        self._ack_inbox = self.client.new_inbox()
        await self.client.subscribe(f"{self._ack_inbox}.*", cb=self._receive_ack)
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
        await cancel_and_wait(self._connecting)
        self._up.clear()
        if self._has_begun:
            # A client that never began to connect raises when it is closed.
            await _close_quietly(self.client.close())


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


def _stream_config(name: str, subject: str, replicas: int) -> api.StreamConfig:
    return api.StreamConfig(
        name=name,
        subjects=[f"{subject}.>"],
        max_age=_MAX_AGE_S,
        max_bytes=_MAX_BYTES,
        duplicate_window=_DUPLICATE_WINDOW_S,
        num_replicas=replicas,
        storage=api.StorageType.FILE,
        # A lost message is read upstream: a flush per message would cost eight times the work and
        # gain nothing. NATS has no such mode for replicas.
        persist_mode=api.PersistMode.ASYNC if replicas == 1 else None,
    )


def _notification_subject(subject: str) -> str:
    return f"{_ROOT}notify.{subject.removeprefix(_ROOT)}"


async def _close_quietly(closing: Awaitable[object]) -> None:
    try:
        await closing
    except _CLOSE_ERRORS as error:
        log.debug("bus_close_failed", error=type(error).__name__)
