"""Ingests events that publishers send to NATS, on `onefold.in.<workspace>.<source>`.

JetStream stores each message (on disk, before it acknowledges it to the publisher) until its events
are committed, and then deletes it; so nothing is lost while ingest or PostgreSQL is down. A
publisher that needs the result sends a request to `onefold.request.<workspace>.<source>` instead,
which no stream stores.

Headers: `Authorization: Bearer KEY` (a source's key), `Content-Type` (JSON unless it
names protobuf), `Nats-Msg-Id` (the id of an event that has none).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import api
from nats.js.errors import NotFoundError

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.keys import key_from_authorization
from services.chassis.messaging.jetstream import BUS_ERRORS, JetStreamBus
from services.ingest.api.nats_message import check_subject, decode_message
from services.ingest.api.producers import authenticate_producer, failure_of
from services.ingest.codec.results import error_to_json, refusal_to_json, result_to_json
from services.ingest.commands.intake import MAX_EVENTS, EventIntake
from services.ingest.domain.events import IncomingEvent, Producer, Refusal
from services.kernel.errors import OnefoldError, RetryableError
from services.kernel.ids import to_hex

log = structlog.get_logger(__name__)

STREAM, SUBJECTS = "ONEFOLD_IN", "onefold.in.>"
CONSUMER = GROUP = "ingest"
DELIVER_SUBJECT, REQUEST_SUBJECT = "onefold.deliver.in", "onefold.request.>"

#: The most messages that are decoded together.
MAX_BATCH = 500
_MAX_UNACKNOWLEDGED = 4 * MAX_BATCH
_ACK_WAIT_S = 60.0
_IDLE_CHECK_S = 2.0
_RETRY_S = 1.0
#: A key may become known here a little later than in the replica that issued it.
_MAX_KEY_ATTEMPTS = 5
_MAX_CONCURRENT_REQUESTS = 256

#: A message and its events.
_DecodedMessage = tuple[Msg, Sequence[IncomingEvent]]


class NatsEndpoint:
    """Ingests events from NATS for as long as `run` runs."""

    def __init__(
        self,
        bus: JetStreamBus,
        intake: EventIntake,
        authenticator: Authenticator,
        *,
        replicas: int = 1,
    ) -> None:
        self._bus = bus
        self._intake = intake
        self._authenticator = authenticator
        self._replicas = replicas
        self._received: deque[Msg] = deque()
        self._has_received = asyncio.Event()
        self._request_slots = asyncio.Semaphore(_MAX_CONCURRENT_REQUESTS)
        #: Set while the endpoint is subscribed.
        self.open = asyncio.Event()

    async def run(self) -> None:
        """Ingest events until cancelled, also while NATS is down."""
        async with asyncio.TaskGroup() as requests:
            while True:
                try:
                    await self._bus.ready()
                    await self._serve(requests)
                except BUS_ERRORS as error:
                    log.warning("nats_endpoint_interrupted", error=type(error).__name__)
                    await asyncio.sleep(_RETRY_S)
                finally:
                    self.open.clear()

    async def _serve(self, requests: asyncio.TaskGroup) -> None:
        client = self._bus.client

        async def on_request(msg: Msg) -> None:
            await self._request_slots.acquire()
            requests.create_task(self._respond(msg))

        await self._ensure_stream()
        self._received.clear()
        subscriptions = [
            await client.subscribe(DELIVER_SUBJECT, queue=GROUP, cb=self._on_message),
            await client.subscribe(REQUEST_SUBJECT, queue=GROUP, cb=on_request),
        ]
        try:
            await client.flush()
            self.open.set()
            while True:
                await self._ingest_batch(await self._take_batch())
        finally:
            for subscription in subscriptions:
                await _unsubscribe(client, subscription)

    async def _ensure_stream(self) -> None:
        jetstream = self._bus.jetstream
        try:
            await jetstream.stream_info(STREAM)
        except NotFoundError:
            await jetstream.add_stream(_stream(self._replicas))
            log.info("stream_created", stream=STREAM)
        try:
            await jetstream.consumer_info(STREAM, CONSUMER)
        except NotFoundError:
            await jetstream.add_consumer(STREAM, _consumer())

    async def _on_message(self, msg: Msg) -> None:
        self._received.append(msg)
        self._has_received.set()

    async def _take_batch(self) -> list[Msg]:
        """Return the messages that have been received; [] after a while without one."""
        if not self._received:
            self._has_received.clear()
            try:
                async with asyncio.timeout(_IDLE_CHECK_S):
                    await self._has_received.wait()
            except TimeoutError:
                # A deleted stream or consumer would stay silent forever; this raises instead.
                await self._bus.jetstream.consumer_info(STREAM, CONSUMER)
        count = min(len(self._received), MAX_BATCH)
        return [self._received.popleft() for _ in range(count)]

    async def _ingest_batch(self, msgs: Sequence[Msg]) -> None:
        """Ingest messages, those of one producer together."""
        by_producer: dict[Producer, list[_DecodedMessage]] = {}
        for msg in msgs:
            try:
                producer, events = await self._decode(msg)
                if isinstance(events, Refusal):
                    await self._intake.quarantine_body(producer, msg.data, events)
            except Exception as error:
                await self._reject_or_retry(msg, error)
                continue
            if isinstance(events, Refusal):
                await msg.term()
            else:
                by_producer.setdefault(producer, []).append((msg, events))
        for producer, messages in by_producer.items():
            for transaction in _transactions(messages):
                await self._ingest(producer, transaction)

    async def _decode(self, msg: Msg) -> tuple[Producer, Sequence[IncomingEvent] | Refusal]:
        headers = {name.lower(): value for name, value in (msg.headers or {}).items()}
        key = key_from_authorization(headers.get("authorization"))
        producer = await authenticate_producer(self._authenticator, key, "nats")
        check_subject(msg.subject, producer.workspace_id, producer.source_id)
        return producer, decode_message(headers, msg.data)

    async def _ingest(self, producer: Producer, messages: Sequence[_DecodedMessage]) -> None:
        try:
            result = await self._intake.ingest(
                producer, [event for _, events in messages for event in events]
            )
        except Exception as error:
            for msg, _ in messages:
                await self._reject_or_retry(msg, error)
            return
        rejected = {rejection.index for rejection in result.rejections}
        end = 0
        for msg, events in messages:
            start, end = end, end + len(events)
            await (msg.term() if rejected.issuperset(range(start, end)) else msg.ack())

    async def _reject_or_retry(self, msg: Msg, error: Exception) -> None:
        """Request redelivery of a message where that may help; else terminate it."""
        failure = failure_of(error, "nats")
        retry = isinstance(failure, RetryableError) or failure.reason == OnefoldError.reason
        may_become_known = (
            failure.reason == "KEY_UNKNOWN" and msg.metadata.num_delivered < _MAX_KEY_ATTEMPTS
        )
        if retry or may_become_known:
            await msg.nak(delay=_RETRY_S)
            return
        # Without a valid key there is no workspace whose quarantine could store the message.
        log.warning("message_rejected", reason=failure.reason)
        self._intake.metrics.count_rejection("nats", failure.reason)
        await msg.term()

    async def _respond(self, msg: Msg) -> None:
        try:
            response = await self._response(msg)
            if msg.reply:
                await msg.respond(msgspec.json.encode(response))
        except BUS_ERRORS as error:
            log.debug("response_lost", error=type(error).__name__)
        finally:
            self._request_slots.release()

    async def _response(self, msg: Msg) -> dict[str, object]:
        try:
            producer, events = await self._decode(msg)
            if isinstance(events, Refusal):
                quarantine_id = await self._intake.quarantine_body(producer, msg.data, events)
                return {**refusal_to_json(events), "quarantineId": to_hex(quarantine_id)}
            return result_to_json(await self._intake.ingest(producer, events))
        except Exception as error:
            return error_to_json(failure_of(error, "nats"))


def _transactions(messages: Sequence[_DecodedMessage]) -> Iterator[list[_DecodedMessage]]:
    """Yield groups of messages that have few enough events for one transaction."""
    group: list[_DecodedMessage] = []
    count = 0
    for msg, events in messages:
        count += len(events)
        if group and count > MAX_EVENTS:
            yield group
            group, count = [], len(events)
        group.append((msg, events))
    if group:
        yield group


def _stream(replicas: int) -> api.StreamConfig:
    return api.StreamConfig(
        name=STREAM,
        subjects=[SUBJECTS],
        retention=api.RetentionPolicy.WORK_QUEUE,
        storage=api.StorageType.FILE,
        num_replicas=replicas,
    )


def _consumer() -> api.ConsumerConfig:
    return api.ConsumerConfig(
        durable_name=CONSUMER,
        deliver_subject=DELIVER_SUBJECT,
        deliver_group=GROUP,
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=_ACK_WAIT_S,
        max_ack_pending=_MAX_UNACKNOWLEDGED,
    )


async def _unsubscribe(client: Client, subscription: Any) -> None:
    try:
        await subscription.unsubscribe()
    except BUS_ERRORS as error:
        log.debug("unsubscribe_failed", error=type(error).__name__)
