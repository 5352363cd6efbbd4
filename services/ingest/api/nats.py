"""Ingests events that publishers send to NATS, on `onefold.in.<workspace>.<source>`.

JetStream stores each message (on disk, before it acknowledges it to the publisher) until its events
are committed, and then deletes it; so nothing is lost while ingest or PostgreSQL is down. A
publisher that needs the result sends a request to `onefold.request.<workspace>.<source>` instead,
which no stream stores. Its credentials permit the subjects of its source only; the key is checked
as well.

Headers: `Authorization: Bearer KEY` (a source's key), `Content-Type` (JSON unless it
names protobuf), `Nats-Msg-Id` (the id of an event that has none). Without that header such an event
gets an id from the place of its message in the stream, the same in every delivery.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import msgspec
import structlog
from nats.aio.msg import Msg

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.keys import key_from_authorization
from services.chassis.messaging.jetstream import BUS_ERRORS, JetStreamBus
from services.ingest.api.nats_consumer import EventConsumer, unsubscribe
from services.ingest.api.nats_message import check_subject, decode_message, place_in_stream
from services.ingest.api.producers import authenticate_producer, failure_of
from services.ingest.codec.results import error_to_json, rejection_to_json, result_to_json
from services.ingest.commands.intake import MAX_EVENTS, EventIntake
from services.ingest.domain.events import IncomingEvent, Producer, Refusal
from services.ingest.domain.producer_limits import Sent
from services.kernel.errors import OnefoldError, RateLimited, RetryableError
from services.kernel.index_key import IndexKey
from services.kernel.restrictions import UNKNOWN_PEER, Peer

log = structlog.get_logger(__name__)

#: Replicas share the requests.
REQUEST_SUBJECT, GROUP = "onefold.request.>", "ingest"
#: The beginnings of the inboxes of clients, of another account or of the same. A reply to another
#: subject would be a message of this service there.
_REPLY_PREFIXES = ("_R_.", "_INBOX")

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
        index_key: IndexKey,
        replicas: int = 1,
    ) -> None:
        """`index_key` gives ids to events without one; `replicas` are those of the stream."""
        self._bus = bus
        self._intake = intake
        self._authenticator = authenticator
        self._index_key = index_key
        self._replicas = replicas
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
                except Exception as error:
                    log.warning("nats_endpoint_interrupted", error=type(error).__name__)
                    await asyncio.sleep(_RETRY_S)
                finally:
                    self.open.clear()

    async def _serve(self, requests: asyncio.TaskGroup) -> None:
        client = self._bus.client

        async def on_request(msg: Msg) -> None:
            await self._request_slots.acquire()
            requests.create_task(self._respond(msg))

        async with EventConsumer(self._bus, replicas=self._replicas) as consumer:
            subscription = await client.subscribe(REQUEST_SUBJECT, queue=GROUP, cb=on_request)
            try:
                await client.flush()
                self.open.set()
                while True:
                    await self._ingest_batch(await consumer.take())
            finally:
                await unsubscribe(subscription)

    async def _ingest_batch(self, msgs: Sequence[Msg]) -> None:
        """Ingest messages, those of one producer together."""
        by_producer: dict[Producer, list[_DecodedMessage]] = {}
        for msg in msgs:
            try:
                producer, events = await self._decode(msg, Peer(arrived_at_us=_arrived_at_us(msg)))
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

    async def _decode(
        self, msg: Msg, peer: Peer
    ) -> tuple[Producer, Sequence[IncomingEvent] | Refusal]:
        headers = {name.lower(): value for name, value in (msg.headers or {}).items()}
        key = key_from_authorization(headers.get("authorization"))
        producer = await authenticate_producer(self._authenticator, key, "nats", peer)
        check_subject(msg.subject, producer.workspace_id, producer.source_id)
        place = place_in_stream(msg.reply)
        message_id = self._index_key.message_id(producer.workspace_id, place) if place else ""
        return producer, decode_message(headers, msg.data, message_id)

    async def _ingest(self, producer: Producer, messages: Sequence[_DecodedMessage]) -> None:
        try:
            sent = Sent(sum(len(msg.data) for msg, _ in messages))
            result = await self._intake.ingest(
                producer, [event for _, events in messages for event in events], sent
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
            delay = failure.retry_after if isinstance(failure, RateLimited) else _RETRY_S
            await msg.nak(delay=max(delay, _RETRY_S))
            return
        # Without a valid key there is no workspace whose quarantine could store the message.
        log.warning("message_rejected", reason=failure.reason)
        self._intake.metrics.count_rejection("nats", failure.reason)
        await msg.term()

    async def _respond(self, msg: Msg) -> None:
        try:
            response = await self._response(msg)
            if msg.reply.startswith(_REPLY_PREFIXES):
                await msg.respond(msgspec.json.encode(response))
        except BUS_ERRORS as error:
            log.debug("response_lost", error=type(error).__name__)
        finally:
            self._request_slots.release()

    async def _response(self, msg: Msg) -> dict[str, object]:
        try:
            producer, events = await self._decode(msg, UNKNOWN_PEER)
            if isinstance(events, Refusal):
                rejection = await self._intake.quarantine_body(producer, msg.data, events)
                return rejection_to_json(rejection)
            sent = Sent(len(msg.data))
            return result_to_json(await self._intake.ingest(producer, events, sent))
        except Exception as error:
            return error_to_json(failure_of(error, "nats"))


def _arrived_at_us(msg: Msg) -> int:
    """Return when the stream stored a message: an acknowledged one outlives the expiry of its key.

    The time is NATS's own; a request has none, as its reply subject is the publisher's.
    """
    return round(msg.metadata.timestamp.timestamp() * 1_000_000)


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
