"""Decodes a NATS message: its subject, its headers and its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.ingest.codec.compression import decompress
from services.ingest.codec.events import ProtoEvent, SegmentCall, decode_events
from services.ingest.codec.secrets import blank_text
from services.ingest.commands.intake import MAX_EVENTS
from services.ingest.domain.events import RawEvent, Refusal
from services.ingest.domain.request_body import batch_calls, parse_body
from services.kernel.errors import NotAllowed, OnefoldError

MAX_BYTES = 4 << 20
_PROTOBUF = frozenset(
    {"application/protobuf", "application/x-protobuf", "application/vnd.google.protobuf"}
)


def check_subject(subject: str, workspace_id: str, source_id: str) -> None:
    """Raise NotAllowed where the subject names another source than the key."""
    if subject.split(".")[2:] != [workspace_id, source_id]:
        raise NotAllowed("the subject must end with the workspace and the source of the key")


def place_in_stream(reply: str) -> str:
    """Return a text that identifies a message of JetStream, the same in every delivery.

    It names the stream, the sequence number and the time of storing in nanoseconds; so a stream
    that was deleted and made again repeats none. Empty for a message that no stream has stored.
    """
    # $JS.ACK.[domain.account.]stream.consumer.deliveries.sequence.consumer sequence.time.pending…
    tokens = reply.split(".")
    if len(tokens) > 9:
        del tokens[2:4]
    if len(tokens) < 9 or tokens[:2] != ["$JS", "ACK"]:
        return ""
    return f"{tokens[2]} {tokens[5]} {tokens[7]}"


def decode_message(
    headers: Mapping[str, str], data: bytes, message_id: str = ""
) -> Sequence[SegmentCall | ProtoEvent] | Refusal:
    """Return the events of a message. A refusal concerns the message as a whole.

    `headers`: by their names in lower case. `message_id`: the id of an event without one, where
    the headers have none either.
    """
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    decode = decode_events if content_type in _PROTOBUF else _decode_json
    events = decode(data)
    if isinstance(events, Refusal):
        return events
    if not events:
        return Refusal("BATCH_EMPTY", "", "the message is empty: add an event")
    if len(events) > MAX_EVENTS:
        text = f"a message has at most {MAX_EVENTS} events: split it"
        return Refusal("PROPERTIES_TOO_LARGE", "", text)
    _default_message_ids(blank_text(headers.get("nats-msg-id") or message_id), events)
    return events


def _decode_json(data: bytes) -> Sequence[SegmentCall] | Refusal:
    try:
        raw = decompress(data, "", MAX_BYTES)
    except OnefoldError as error:
        return Refusal("JSON_INVALID", "", error.message)
    body = parse_body(raw)
    if isinstance(body, Refusal):
        return body
    if not body.is_batch:
        return [SegmentCall(raw)]
    calls = batch_calls(body)
    return calls if isinstance(calls, Refusal) else [SegmentCall(c, None, body) for c in calls]


def _default_message_ids(default: str, events: Sequence[SegmentCall | ProtoEvent]) -> None:
    """Give events without an id one from their message's: a repeated message repeats its events."""
    if not default:
        return
    for index, incoming in enumerate(events):
        if isinstance(incoming.event, RawEvent) and not incoming.event.message_id:
            message_id = default if len(events) == 1 else f"{default}-{index}"
            incoming.event = incoming.event._replace(message_id=message_id)
