"""Decodes the events that clients send, and encodes the payloads of their facts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, overload

from google.protobuf.message import DecodeError
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest, StreamEventsRequest
from onefold.type.v1.event_pb2 import EVENT_TYPE_GROUP, Event

from services.ingest.codec.secrets import blank_event, blank_keys, may_hold_key
from services.ingest.domain.events import Accepted, EventType, RawEvent, Refusal
from services.ingest.domain.request_body import RequestBody, parse_body
from services.ingest.domain.segment_spec import parse_call

EventsRequest: TypeAlias = IngestEventsRequest | StreamEventsRequest


class ProtoEvent:
    """An event that was sent as onefold.type.v1.Event."""

    __slots__ = ("event", "message")
    format = "event"

    def __init__(self, message: Event) -> None:
        self.message = message
        type_ = message.type
        identifiers: list[tuple[str, str]] = []
        verified: tuple[tuple[str, str], ...] = ()
        # Each step through a field of protobuf makes objects, so there is one for both tuples.
        for each in message.identifiers:
            pair = (each.namespace, each.value)
            identifiers.append(pair)
            if each.verified:
                verified = (*verified, pair)
        values = (
            type_,
            message.name,
            message.message_id,
            tuple(identifiers),
            message.occurred_at_us or None,
            None,
            message.properties,
            message.traits,
            message.context,
            message.channel,
            message.group_id,
            _group_identifiers(message) if type_ == EVENT_TYPE_GROUP else (),
            verified,
        )
        # At half the cost of RawEvent(...), and this runs once an event.
        self.event: RawEvent | Refusal = tuple.__new__(RawEvent, values)

    def raw(self) -> bytes:
        return self.message.SerializeToString()

    def own_bytes(self) -> bytes:
        return self.raw()

    def payload(self, accepted: Accepted) -> bytes:
        """Return the event as it was sent, with what only ingest sets, whatever the sender set."""
        message: Any = self.message  # so that `trust` may be any number of the enum
        message.trust = accepted.trust
        message.party = accepted.party
        message.touch = accepted.touch
        if message.message_id != accepted.message_id:
            message.message_id = accepted.message_id
        if message.channel != accepted.channel:
            message.channel = accepted.channel
        if accepted.account_copy is not None:
            message.ClearField("member_leaf_id")
        return message.SerializeToString()

    def account_payload(self, accepted: Accepted) -> bytes:
        return _account_payload(self.message, accepted)


def _group_identifiers(message: Event) -> tuple[tuple[str, str], ...]:
    return tuple([(i.namespace, i.value) for i in message.group_identifiers])


class SegmentCall:
    """An event that was sent as a call of the Segment specification."""

    __slots__ = ("_batch", "_raw", "event", "format")

    def __init__(
        self, raw: bytes, type_: EventType | None = None, body: RequestBody | None = None
    ) -> None:
        self._raw = raw = blank_keys(raw)
        if body is not None and may_hold_key(body.context):
            body = replace(body, context=blank_keys(body.context))
        #: The batch whose fields beside its calls concern this one.
        self._batch = None
        self.format = f"call:{type_.name.lower()}" if type_ else "call"
        if body is not None and body.is_batch and not type_ and (body.sent_at_json or body.context):
            self._batch, self.format = body, "batch"
        self.event = parse_call(raw, type_, body)

    def raw(self) -> bytes:
        return blank_keys(self._batch.around(self._raw)) if self._batch else self._raw

    def own_bytes(self) -> bytes:
        return self._raw

    def payload(self, accepted: Accepted) -> bytes:
        return self._message(accepted).SerializeToString()

    def account_payload(self, accepted: Accepted) -> bytes:
        return _account_payload(self._message(accepted), accepted)

    def _message(self, accepted: Accepted) -> Event:
        event: Any = self.event  # accepted, so it is an event and its values have their types
        message = Event(
            type=event.type,
            name=event.name or "",
            message_id=accepted.message_id,
            occurred_at_us=accepted.stated_at_us,
            properties=event.properties,
            traits=event.traits,
            context=event.context,
            channel=accepted.channel,
            group_id=event.group_id or "",
            trust=accepted.trust,  # type: ignore[arg-type]  # the numbers are the enum's
            party=accepted.party,  # type: ignore[arg-type]  # as above
            touch=accepted.touch,
        )
        for namespace, value in event.identifiers:
            added = message.identifiers.add()  # at half the cost of a message that is copied in
            added.namespace, added.value = namespace, value
        for namespace, value in event.group_identifiers:
            message.group_identifiers.add(namespace=namespace, value=value)
        return message


class SegmentCalls(Sequence[SegmentCall]):
    """The calls of a body, each decoded when it is read: a large batch is ingested in parts."""

    def __init__(
        self,
        calls: Sequence[bytes],
        type_: EventType | None = None,
        body: RequestBody | None = None,
        message_id: str = "",
    ) -> None:
        """`message_id`: that of a call without one; beside other calls, with the call's index."""
        self._calls = calls
        self._type = type_
        self._body = body
        self._message_id = message_id

    def __len__(self) -> int:
        return len(self._calls)

    @overload
    def __getitem__(self, index: int) -> SegmentCall: ...

    @overload
    def __getitem__(self, index: slice) -> list[SegmentCall]: ...

    def __getitem__(self, index: int | slice) -> SegmentCall | list[SegmentCall]:
        if isinstance(index, int):
            return self._decode(range(len(self._calls))[index])
        return [self._decode(at) for at in range(len(self._calls))[index]]

    def _decode(self, index: int) -> SegmentCall:
        call = SegmentCall(self._calls[index], self._type, self._body)
        if self._message_id:
            default_message_id(call, self._message_id, index, len(self._calls))
        return call


def default_message_id(
    incoming: SegmentCall | ProtoEvent, message_id: str, index: int, count: int
) -> None:
    """Give an event without an id one of its message, by its place among the `count` events."""
    event = incoming.event
    if isinstance(event, RawEvent) and not event.message_id:
        own_id = message_id if count == 1 else f"{message_id}-{index}"
        incoming.event = event._replace(message_id=own_id)


def call_of_batch(raw: bytes) -> SegmentCall | None:
    """Return the only call of a batch; None where it has not one."""
    body = parse_body(raw)
    if isinstance(body, Refusal) or body.calls is None or len(body.calls) != 1:
        return None
    return SegmentCall(body.calls[0], None, body)


def decode_events(data: bytes) -> list[ProtoEvent] | Refusal:
    """Decode a serialised IngestEventsRequest."""
    try:
        request = IngestEventsRequest.FromString(data)
    except DecodeError:
        return Refusal("NOT_AN_EVENT", "", "send an onefold.ingest.v1.IngestEventsRequest")
    return _events_of(request.events, data)


def events_of_request(request: EventsRequest) -> tuple[list[ProtoEvent], int]:
    """Return the events of a request over gRPC, and its size in bytes."""
    data = request.SerializeToString()
    return _events_of(request.events, data), len(data)


def event_of_message(message: Event) -> ProtoEvent:
    """Return one event that was sent over gRPC."""
    [event] = _events_of([message], message.SerializeToString())
    return event


def _events_of(messages: Iterable[Event], data: bytes) -> list[ProtoEvent]:
    """Return events without keys of Onefold in them. `data`: all of them, serialised."""
    if may_hold_key(data):
        for message in messages:
            blank_event(message)
    return [ProtoEvent(message) for message in messages]


def _account_payload(message: Event, accepted: Accepted) -> bytes:
    """Return the account's copy. Its only data of the person is the leaf, for erasures."""
    event = Event(
        type=message.type,
        message_id=accepted.message_id,
        occurred_at_us=message.occurred_at_us,
        traits=message.traits,
        channel=accepted.channel,
        group_id=message.group_id,
        group_identifiers=message.group_identifiers,
        member_leaf_id=accepted.leaf_id,
        trust=accepted.trust,  # type: ignore[arg-type]  # the numbers are the enum's
        party=accepted.party,  # type: ignore[arg-type]  # as above
    )
    return event.SerializeToString()
