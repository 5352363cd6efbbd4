"""Decodes a NATS message: its subject, its headers and its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.ingest.codec.compression import decompress
from services.ingest.codec.events import (
    ProtoEvent,
    SegmentCall,
    SegmentCalls,
    decode_events,
    default_message_id,
)
from services.ingest.codec.secrets import blank_text
from services.ingest.commands.intake import MAX_EVENTS
from services.ingest.domain.definitions import is_id
from services.ingest.domain.events import Refusal
from services.ingest.domain.request_body import batch_calls, parse_body, without_mark
from services.kernel.errors import NotAllowed, OnefoldError

MAX_BYTES = 4 << 20
_PROTOBUF = frozenset(
    {"application/protobuf", "application/x-protobuf", "application/vnd.google.protobuf"}
)


def check_subject(subject: str, workspace_id: str, source_id: str) -> None:
    """Raise NotAllowed where the subject names another source than the key."""
    if subject.split(".")[2:] != [workspace_id, source_id]:
        raise NotAllowed("the subject must end with the workspace and the source of the key")


def source_of_subject(subject: str) -> tuple[str, str]:
    """Return the workspace and the source that a subject names; empty texts if it names none."""
    names = subject.split(".")[2:]
    is_valid = len(names) == 2 and all(map(is_id, names))
    return (names[0], names[1]) if is_valid else ("", "")


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


def read_body(headers: Mapping[str, str], data: bytes) -> bytes | Refusal:
    """Return the body of a message, decompressed. `headers`: by their names in lower case."""
    if _is_protobuf(headers):
        return data
    try:
        return without_mark(decompress(data, "", MAX_BYTES))
    except OnefoldError as error:
        return Refusal("JSON_INVALID", "", error.message)


def decode_message(
    headers: Mapping[str, str], body: bytes, message_id: str = ""
) -> Sequence[SegmentCall | ProtoEvent] | Refusal:
    """Return the events of a body, as `read_body` returns it. A refusal concerns the whole message.

    `message_id`: the id of an event without one, where the headers have none either.
    """
    default_id = blank_text(headers.get("nats-msg-id") or message_id)
    return _decode_protobuf(body, default_id) if _is_protobuf(headers) else _calls(body, default_id)


def _is_protobuf(headers: Mapping[str, str]) -> bool:
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return content_type in _PROTOBUF


def _decode_protobuf(body: bytes, message_id: str) -> Sequence[ProtoEvent] | Refusal:
    events = decode_events(body)
    if isinstance(events, Refusal):
        return events
    if not events:
        return Refusal("BATCH_EMPTY", "", "the message is empty: add an event")
    if len(events) > MAX_EVENTS:
        text = f"a message has at most {MAX_EVENTS} events: split it"
        return Refusal("PROPERTIES_TOO_LARGE", "", text)
    if message_id:
        for index, event in enumerate(events):
            default_message_id(event, message_id, index, len(events))
    return events


def _calls(raw: bytes, message_id: str) -> Sequence[SegmentCall] | Refusal:
    body = parse_body(raw)
    if isinstance(body, Refusal):
        return body
    if not body.is_batch:
        return SegmentCalls([raw], message_id=message_id)
    calls = batch_calls(body)
    return calls if isinstance(calls, Refusal) else SegmentCalls(calls, None, body, message_id)
