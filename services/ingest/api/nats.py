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
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import structlog
from nats.aio.msg import Msg

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.keys import key_from_authorization
from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.rpc.sealing import TokenSealer
from services.ingest.api.nats_consumer import EventConsumer
from services.ingest.api.nats_message import (
    check_subject,
    decode_message,
    place_in_stream,
    read_body,
    source_of_subject,
)
from services.ingest.api.nats_requests import RequestServer
from services.ingest.api.producers import authenticate_producer, failure_of
from services.ingest.codec.results import error_to_json, rejection_to_json, result_to_json
from services.ingest.commands.intake import MAX_EVENTS, EventIntake
from services.ingest.domain.arrivals import waited_arrivals
from services.ingest.domain.events import IncomingEvent, Producer, Refusal
from services.ingest.domain.producer_limits import Sent
from services.kernel.errors import OnefoldError, RateLimited, RetryableError
from services.kernel.identifiers.phones import DEFAULT_REGION
from services.kernel.index_key import IndexKey
from services.kernel.restrictions import UNKNOWN_PEER, Peer

log = structlog.get_logger(__name__)

_RETRY_S = 1.0
#: A key may become known here a little later than in the replica that issued it.
_MAX_KEY_ATTEMPTS = 5
#: The most bytes of decompressed messages that are decoded and not ingested yet.
_MAX_DECODED_BYTES = 16 << 20


class _DecodedMessage(NamedTuple):
    """A message of the stream and its events."""

    msg: Msg
    producer: Producer
    events: Sequence[IncomingEvent]
    #: Of the body, decompressed.
    size_bytes: int


class NatsEndpoint:
    """Ingests events from NATS for as long as `run` runs."""

    def __init__(
        self,
        bus: JetStreamBus,
        intake: EventIntake,
        authenticator: Authenticator,
        *,
        index_key: IndexKey,
        sealer: TokenSealer,
    ) -> None:
        """`index_key` gives ids to events without one."""
        self._bus = bus
        self._intake = intake
        self._authenticator = authenticator
        self._index_key = index_key
        self._sealer = sealer
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
        server = RequestServer(self._response, requests)
        async with EventConsumer(self._bus) as consumer, server.serving(client):
            await client.flush()
            self.open.set()
            while True:
                await self._ingest_batch(await consumer.take())

    async def _ingest_batch(self, msgs: Sequence[Msg]) -> None:
        """Ingest messages, those of one producer together, within a bound of memory."""
        decoded: list[_DecodedMessage] = []
        size_bytes = 0
        for msg in msgs:
            message = await self._decode_or_keep(msg)
            if message is None:
                continue
            decoded.append(message)
            size_bytes += message.size_bytes
            if size_bytes > _MAX_DECODED_BYTES:
                await self._ingest_decoded(decoded)
                decoded, size_bytes = [], 0
        await self._ingest_decoded(decoded)

    async def _ingest_decoded(self, messages: Sequence[_DecodedMessage]) -> None:
        by_producer: dict[Producer, list[_DecodedMessage]] = {}
        for message in messages:
            by_producer.setdefault(message.producer, []).append(message)
        for producer, of_producer in by_producer.items():
            for transaction in _transactions(of_producer):
                await self._ingest(producer, transaction)

    async def _decode_or_keep(self, msg: Msg) -> _DecodedMessage | None:
        """Return a message of the stream; None where it cannot be ingested, and is done with."""
        try:
            producer = await self._authenticate(msg, Peer(arrived_at_us=_arrived_at_us(msg)))
            body, events = self._decode(msg, producer.workspace_id)
            if not isinstance(events, Refusal):
                return _DecodedMessage(msg, producer, events, len(body))
            [received_us] = waited_arrivals(self._intake.now_us(), [(_waited_us(msg), 1)])
            await self._intake.quarantine_body(producer, msg.data, events, received_us=received_us)
        except Exception as error:
            await self._keep_or_retry(msg, error)
        else:
            await msg.term()
        return None

    async def _authenticate(self, msg: Msg, peer: Peer) -> Producer:
        key = key_from_authorization(_headers_of(msg).get("authorization"))
        producer = await authenticate_producer(self._authenticator, key, "nats", peer)
        check_subject(msg.subject, producer.workspace_id, producer.source_id)
        return producer

    def _decode(
        self, msg: Msg, workspace_id: str
    ) -> tuple[bytes, Sequence[IncomingEvent] | Refusal]:
        """Return the decompressed body of a message, and its events."""
        headers = _headers_of(msg)
        body = read_body(headers, msg.data)
        if isinstance(body, Refusal):
            return b"", body
        place = place_in_stream(msg.reply)
        message_id = self._index_key.message_id(workspace_id, place) if place else ""
        return body, decode_message(headers, body, message_id)

    async def _ingest(self, producer: Producer, messages: Sequence[_DecodedMessage]) -> None:
        waited = [(_waited_us(message.msg), len(message.events)) for message in messages]
        events = (
            messages[0].events
            if len(messages) == 1
            else [event for message in messages for event in message.events]
        )
        try:
            result = await self._intake.ingest(
                producer,
                events,
                Sent(sum(len(message.msg.data) for message in messages)),
                waited_arrivals(self._intake.now_us(), waited),
            )
        except Exception as error:
            for message in messages:
                await self._keep_or_retry(message.msg, error)
            return
        rejected = {rejection.index for rejection in result.rejections}
        end = 0
        for msg, _, own_events, _ in messages:
            start, end = end, end + len(own_events)
            await (msg.term() if rejected.issuperset(range(start, end)) else msg.ack())

    async def _keep_or_retry(self, msg: Msg, error: Exception) -> None:
        """Request redelivery of a message where that may help; else quarantine it."""
        failure = failure_of(error, "nats")
        retry = isinstance(failure, RetryableError) or failure.reason == OnefoldError.reason
        may_become_known = (
            failure.reason == "KEY_UNKNOWN" and msg.metadata.num_delivered < _MAX_KEY_ATTEMPTS
        )
        if not (retry or may_become_known):
            try:
                await self._quarantine(msg, failure)
            except Exception as quarantine_error:
                failure = failure_of(quarantine_error, "nats")
            else:
                await msg.term()
                return
        delay = failure.retry_after if isinstance(failure, RateLimited) else _RETRY_S
        await msg.nak(delay=max(delay, _RETRY_S))

    async def _quarantine(self, msg: Msg, failure: OnefoldError) -> None:
        """Quarantine a message that may not be ingested, under the source of its subject.

        JetStream has acknowledged it, so its publisher does not send it again.
        """
        workspace_id, source_id = source_of_subject(msg.subject)
        log.warning("message_rejected", reason=failure.reason)
        if not (source_id and await self._intake.knows_source(workspace_id, source_id)):
            # There is no workspace whose quarantine could store it.
            self._intake.metrics.count_rejection("nats", failure.reason)
            return
        producer = Producer(workspace_id, source_id, "", "nats", DEFAULT_REGION)
        refusal = Refusal(failure.reason, "", failure.message)
        _, events = self._decode(msg, workspace_id)
        count = 1 if isinstance(events, Refusal) else len(events)
        received_us = waited_arrivals(self._intake.now_us(), [(_waited_us(msg), count)])
        if isinstance(events, Refusal):
            await self._intake.quarantine_body(
                producer, msg.data, refusal, received_us=received_us[0]
            )
        else:
            await self._intake.quarantine_events(producer, events, refusal, received_us)

    async def _response(self, msg: Msg) -> dict[str, object]:
        """Handle a request, and return the response to it."""
        try:
            producer = await self._authenticate(msg, UNKNOWN_PEER)
            _, events = self._decode(msg, producer.workspace_id)
            if isinstance(events, Refusal):
                rejection = await self._intake.quarantine_body(producer, msg.data, events)
                return rejection_to_json(rejection)
            sent = Sent(len(msg.data))
            seal = partial(self._sealer.seal_text, workspace_id=producer.workspace_id)
            return result_to_json(await self._intake.ingest(producer, events, sent), seal)
        except Exception as error:
            return error_to_json(failure_of(error, "nats"))


def _headers_of(msg: Msg) -> Mapping[str, str]:
    return {name.lower(): value for name, value in (msg.headers or {}).items()}


def _arrived_at_us(msg: Msg) -> int:
    """Return when the stream stored a message: an acknowledged one outlives the expiry of its key.

    The time is NATS's own; a request has none, as its reply subject is the publisher's.
    """
    return round(msg.metadata.timestamp.timestamp() * 1_000_000)


def _waited_us(msg: Msg) -> int:
    """Return for how long a message of the stream has waited, by the clocks of machines.

    The log's clock may be ahead of them.
    """
    return max(0, time.time_ns() // 1000 - _arrived_at_us(msg))


def _transactions(messages: Sequence[_DecodedMessage]) -> Iterator[list[_DecodedMessage]]:
    """Yield groups of messages that have few enough events for one transaction."""
    group: list[_DecodedMessage] = []
    count = 0
    for message in messages:
        count += len(message.events)
        if group and count > MAX_EVENTS:
            yield group
            group, count = [], len(message.events)
        group.append(message)
    if group:
        yield group
