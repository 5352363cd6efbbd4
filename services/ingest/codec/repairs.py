"""Decodes quarantined events: as they were sent, and as messages that a person can repair."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from onefold.type.v1.event_pb2 import Event

from services.ingest.codec.events import ProtoEvent, SegmentCall, call_of_batch
from services.ingest.domain.admission import times_of
from services.ingest.domain.events import QuarantinedEvent, RawEvent, Refusal
from services.ingest.domain.json_limits import decode_documents
from services.ingest.domain.segment_spec import TYPES


def from_quarantine(entry: QuarantinedEvent) -> ProtoEvent | SegmentCall | None:
    """Decode a quarantined event as it was sent; None for a body that holds no event."""
    format_, _, call = entry.format.partition(":")
    if format_ == "event":
        return ProtoEvent(Event.FromString(entry.raw))
    if format_ == "batch":
        return call_of_batch(entry.raw)
    return SegmentCall(entry.raw, TYPES.get(call)) if format_ == "call" else None


def event_to_repair(entry: QuarantinedEvent) -> Event | None:
    """Return a quarantined event without the values that have a wrong type or break a limit.

    None where it cannot be read as an event.
    """
    try:
        incoming = from_quarantine(entry)
    except DecodeError:
        return None
    if incoming is None or isinstance(incoming.event, Refusal):
        return None
    if isinstance(incoming, ProtoEvent):
        event = incoming.message
    else:
        event = _message_of(incoming.event, entry.received_at_us)
    for name in ("properties", "traits", "context"):
        if isinstance(decode_documents(getattr(event, name), b"", b""), Refusal):
            event.ClearField(name)
    return event


def _message_of(raw: RawEvent, received_us: int) -> Event:
    times = times_of(raw.timestamp, raw.sent_at, received_us)
    occurred_at_us = 0 if isinstance(times, Refusal) or not times[1] else times[0]
    event = Event(
        type=raw.type,  # type: ignore[arg-type]  # a call has one of the six types
        name=_text(raw.name),
        message_id=_text(raw.message_id),
        occurred_at_us=occurred_at_us,
        properties=raw.properties,
        traits=raw.traits,
        context=raw.context,
        channel=_text(raw.channel),
        group_id=_text(raw.group_id),
    )
    for namespace, value in raw.identifiers:
        event.identifiers.add(namespace=_text(namespace), value=_text(value))
    for namespace, value in raw.group_identifiers:
        event.group_identifiers.add(namespace=_text(namespace), value=_text(value))
    return event


def _text(value: object) -> str:
    """Return a text or a whole number as a text of UTF-8; empty for any other value."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value).encode(errors="ignore").decode()
