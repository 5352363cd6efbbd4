"""Tests the decoding of NATS messages."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.type.v1.event_pb2 import Event

from services.ingest.api.nats_message import (
    check_subject,
    decode_message,
    place_in_stream,
    read_body,
    source_of_subject,
)
from services.ingest.domain.events import RawEvent, Refusal
from services.kernel.errors import NotAllowed

CALL = {"type": "track", "event": "e", "userId": "u"}


def decode(data: bytes, headers: dict[str, str]) -> Any:
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    body = read_body(named, data)
    return body if isinstance(body, Refusal) else decode_message(named, body)


def message_ids(data: bytes, **headers: str) -> list[object]:
    decoded = decode(data, headers)
    assert not isinstance(decoded, Refusal), decoded
    events = [incoming.event for incoming in decoded]
    assert all(isinstance(event, RawEvent) for event in events)
    return [event.message_id for event in events if isinstance(event, RawEvent)]


def refusal_reason(data: bytes, **headers: str) -> str:
    refused = decode(data, headers)
    assert isinstance(refused, Refusal)
    return refused.reason


def test_message_with_one_call_is_one_event() -> None:
    assert message_ids(json.dumps({**CALL, "messageId": "m"}).encode()) == ["m"]
    assert message_ids(gzip.compress(json.dumps({**CALL, "messageId": "m"}).encode())) == ["m"]


def test_message_with_a_batch_has_its_events_in_order() -> None:
    batch = {"batch": [{**CALL, "messageId": "a"}, {**CALL, "messageId": "b"}]}
    assert message_ids(json.dumps(batch).encode()) == ["a", "b"]


@pytest.mark.parametrize(
    "content",
    ["application/protobuf", "application/x-protobuf; charset=none", "Application/Protobuf"],
)
def test_message_with_a_protobuf_content_type_is_decoded_as_such(content: str) -> None:
    request = IngestEventsRequest(events=[Event(type=1, name="e", message_id="m")])
    assert message_ids(request.SerializeToString(), content_type=content) == ["m"]


def test_event_without_an_id_gets_one_from_its_message() -> None:
    assert message_ids(json.dumps(CALL).encode(), nats_msg_id="n") == ["n"]
    assert message_ids(json.dumps({**CALL, "messageId": "m"}).encode(), nats_msg_id="n") == ["m"]
    batch = {"batch": [CALL, {**CALL, "messageId": "m"}, CALL]}
    assert message_ids(json.dumps(batch).encode(), nats_msg_id="n") == ["n-0", "m", "n-2"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "JSON_INVALID"),
        (b"{", "JSON_INVALID"),
        (b"[]", "NOT_AN_EVENT"),
        (b'{"batch":[]}', "BATCH_EMPTY"),
        (gzip.compress(b" " * (8 << 20), mtime=0), "JSON_INVALID"),
        (json.dumps({"batch": [1] * 1001}).encode(), "NOT_AN_EVENT"),
    ],
)
def test_message_with_invalid_json_is_refused(data: bytes, reason: str) -> None:
    assert refusal_reason(data) == reason


def test_message_with_invalid_protobuf_is_refused() -> None:
    assert refusal_reason(b"\xff\xff", content_type="application/protobuf") == "NOT_AN_EVENT"
    assert refusal_reason(b"", content_type="application/protobuf") == "BATCH_EMPTY"


def test_subject_of_another_source_is_refused() -> None:
    check_subject("onefold.in.w.s", "w", "s")
    for subject in ("onefold.in.w.t", "onefold.in.v.s", "onefold.in.w", "onefold.in.w.s.x"):
        with pytest.raises(NotAllowed):
            check_subject(subject, "w", "s")


def test_place_in_the_stream_is_the_same_in_every_delivery_and_in_both_forms() -> None:
    """Stream, sequence number and time; not the number of the delivery or of the consumer."""
    first = "$JS.ACK.ONEFOLD_IN.ingest.1.42.7.1700000000000000001.3"
    again = "$JS.ACK.ONEFOLD_IN.ingest.2.42.9.1700000000000000001.0"
    newer = "$JS.ACK._.hash.ONEFOLD_IN.ingest.3.42.11.1700000000000000001.0"
    place = "ONEFOLD_IN 42 1700000000000000001"
    found = [place_in_stream(each) for each in (first, again, newer, f"{newer}.x")]
    assert found == [place] * 4


def test_places_of_other_messages_differ() -> None:
    """The last one is of a stream that was deleted and made again."""
    places = {
        place_in_stream(f"$JS.ACK.ONEFOLD_IN.ingest.1.{sequence}.7.{time}.3")
        for sequence, time in ((42, 1), (43, 1), (42, 2))
    }
    assert len(places) == 3


@pytest.mark.parametrize(
    "reply", ["", "_INBOX.x", "$JS.ACK", "$JS.ACK.a.b.c", "$JS.API.a.b.c.d.e.f"]
)
def test_message_that_no_stream_stores_has_no_place(reply: str) -> None:
    assert place_in_stream(reply) == ""


def test_id_of_the_place_is_used_where_event_and_headers_have_none() -> None:
    for headers, expected in (({}, "placed"), ({"nats-msg-id": "given"}, "given")):
        decoded = decode_message(headers, json.dumps(CALL).encode(), "placed")
        assert not isinstance(decoded, Refusal)
        event = decoded[0].event
        assert isinstance(event, RawEvent)
        assert event.message_id == expected


def test_message_with_more_events_than_a_transaction_has_all_of_them() -> None:
    ids = [f"m{n}" for n in range(2_500)]
    batch = {"batch": [{**CALL, "messageId": id_} for id_ in ids]}
    assert message_ids(json.dumps(batch).encode()) == ids


def test_message_with_a_mark_before_its_json_is_decoded() -> None:
    data = b"\xef\xbb\xbf" + json.dumps({**CALL, "messageId": "m"}).encode()
    assert message_ids(data) == message_ids(gzip.compress(data)) == ["m"]


@pytest.mark.parametrize(
    ("subject", "source"),
    [
        ("onefold.in.default.site", ("default", "site")),
        ("onefold.in.default", ("", "")),
        ("onefold.in.default.site.more", ("", "")),
        ("onefold.in.Default.site", ("", "")),
        ("onefold.in.default.", ("", "")),
    ],
)
def test_source_of_a_subject_is_found(subject: str, source: tuple[str, str]) -> None:
    assert source_of_subject(subject) == source
