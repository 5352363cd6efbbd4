"""What a NATS message says."""

from __future__ import annotations

import gzip
import json

import pytest
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.type.v1.event_pb2 import Event

from services.ingest.api.nats_message import Letter, check_place, read_letter
from services.ingest.domain.model import RawEvent, Refusal
from services.kernel.errors import NotAllowed

CALL = {"type": "track", "event": "e", "userId": "u"}


def ids(data: bytes, **headers: str) -> list[object]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    offers = read_letter(Letter("onefold.in.w.s", named, data))
    assert not isinstance(offers, Refusal), offers
    events = [offer.event for offer in offers]
    assert all(isinstance(event, RawEvent) for event in events)
    return [event.message_id for event in events if isinstance(event, RawEvent)]


def refusal(data: bytes, **headers: str) -> str:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    refused = read_letter(Letter("onefold.in.w.s", named, data))
    assert isinstance(refused, Refusal)
    return refused.reason


def test_one_call() -> None:
    assert ids(json.dumps({**CALL, "messageId": "m"}).encode()) == ["m"]
    assert ids(gzip.compress(json.dumps({**CALL, "messageId": "m"}).encode())) == ["m"]


def test_a_batch() -> None:
    batch = {"batch": [{**CALL, "messageId": "a"}, {**CALL, "messageId": "b"}]}
    assert ids(json.dumps(batch).encode()) == ["a", "b"]


@pytest.mark.parametrize(
    "content",
    ["application/protobuf", "application/x-protobuf; charset=none", "Application/Protobuf"],
)
def test_protobuf(content: str) -> None:
    request = IngestEventsRequest(events=[Event(type=1, name="e", message_id="m")])
    assert ids(request.SerializeToString(), content_type=content) == ["m"]


def test_the_letters_id_is_lent_to_events_without_one() -> None:
    assert ids(json.dumps(CALL).encode(), nats_msg_id="n") == ["n"]
    assert ids(json.dumps({**CALL, "messageId": "m"}).encode(), nats_msg_id="n") == ["m"]
    batch = {"batch": [CALL, {**CALL, "messageId": "m"}, CALL]}
    assert ids(json.dumps(batch).encode(), nats_msg_id="n") == ["n-0", "m", "n-2"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "JSON_INVALID"),
        (b"{", "JSON_INVALID"),
        (b"[]", "NOT_AN_EVENT"),
        (b'{"batch":[]}', "BATCH_EMPTY"),
        (gzip.compress(b" " * (8 << 20), mtime=0), "JSON_INVALID"),
        (json.dumps({"batch": [1] * 1001}).encode(), "PROPERTIES_TOO_LARGE"),
    ],
)
def test_bad_json(data: bytes, reason: str) -> None:
    assert refusal(data) == reason


def test_bad_protobuf() -> None:
    assert refusal(b"\xff\xff", content_type="application/protobuf") == "NOT_AN_EVENT"
    assert refusal(b"", content_type="application/protobuf") == "BATCH_EMPTY"


def test_the_subject_must_be_the_keys_own() -> None:
    check_place("onefold.in.w.s", "w", "s")
    for subject in ("onefold.in.w.t", "onefold.in.v.s", "onefold.in.w", "onefold.in.w.s.x"):
        with pytest.raises(NotAllowed):
            check_place(subject, "w", "s")
