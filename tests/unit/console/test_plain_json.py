"""Tests plain JSON: what it looks like, and that each message of the API comes back as it was."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1.profile_service_pb2 import GetProfileResponse
from onefold.rule.v1.rule_pb2 import Rule
from onefold.segment.v1.segment_service_pb2 import ListMembersRequest
from onefold.type.v1.event_pb2 import EVENT_TYPE_TRACK, Event
from onefold.type.v1.options_pb2 import BytesFormat, bytes_format

from services.chassis.codec.plain_json import write_plain
from services.console.gateway.errors import CallFailed
from services.console.gateway.forms import PLAIN
from services.console.gateway.methods import MessageClass, client_methods
from services.console.gateway.plain_json import read_plain

_MESSAGES = sorted(
    {kind for method in client_methods().methods for kind in (method.request, method.response)},
    key=lambda kind: kind.DESCRIPTOR.full_name,
)
_NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def random_value(field: Any, rng: random.Random, depth: int) -> Any:
    """Return a value for a field that holds no message."""
    if field.cpp_type in _NUMBERS:
        return rng.choice([0, 1, *_NUMBERS[field.cpp_type]])
    if field.enum_type is not None:
        return rng.choice([value.number for value in field.enum_type.values])
    if field.type == FieldDescriptor.TYPE_BYTES:
        written = field.GetOptions().Extensions[bytes_format]
        if written == BytesFormat.BYTES_FORMAT_JSON:
            value = rng.choice([1, 1.5, "北京", None, True, [1, "x"], {"a": {"b": [None]}}])
            return b"" if value is None else json.dumps(value, ensure_ascii=False).encode()
        return rng.randbytes(rng.choice([0, 1, 16]))
    if field.type == FieldDescriptor.TYPE_BOOL:
        return rng.random() < 0.5
    if field.type == FieldDescriptor.TYPE_STRING:
        return rng.choice(["", "a", "李 <b>", "\u0000\n"])
    return rng.choice([0.0, 1.5, -1e300, float("inf"), float("-inf")])


def fill(message: Message, rng: random.Random, depth: int = 0) -> None:
    """Set some fields of a message at random."""
    described: Any = message.DESCRIPTOR
    for field in described.fields:
        if rng.random() < 0.3:
            continue
        holder: Any = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            inner = field.message_type.fields_by_name["value"]
            if inner.message_type is None:
                holder["k"] = random_value(inner, rng, depth)
            elif depth < 4:
                fill(holder["k"], rng, depth + 1)
        elif field.message_type is not None:
            if depth < 4 and field.is_repeated:
                fill(holder.add(), rng, depth + 1)
            elif depth < 4:
                holder.SetInParent()
                fill(holder, rng, depth + 1)
        elif field.is_repeated:
            holder.extend(random_value(field, rng, depth) for _ in range(rng.randint(0, 2)))
        else:
            setattr(message, field.name, random_value(field, rng, depth))


@pytest.mark.parametrize("kind", _MESSAGES, ids=lambda kind: kind.DESCRIPTOR.full_name)
def test_any_message_is_read_as_it_was_written(kind: MessageClass) -> None:
    for seed in range(20):
        message = kind()
        fill(message, random.Random(seed))
        text = PLAIN.write(message.SerializeToString(), kind)
        assert read_plain(json.loads(text, parse_constant=pytest.fail), kind) == message


def test_ids_are_hexadecimal_and_json_is_embedded_and_numbers_are_numbers() -> None:
    fact = Fact(fact_id=bytes(range(16)), occurred_at_us=1_700_000_000_000_000)
    assert write_plain(fact)["fact_id"] == "000102030405060708090a0b0c0d0e0f"
    assert write_plain(fact)["occurred_at_us"] == 1_700_000_000_000_000
    event = Event(type=EVENT_TYPE_TRACK, properties='{"city": "北京", "n": 1.0}'.encode())
    body = PLAIN.write(event.SerializeToString(), Event)
    assert '"properties":{"city": "北京", "n": 1.0}' in body.decode()
    assert '"type":"EVENT_TYPE_TRACK"' in body.decode()


def test_json_is_passed_on_as_it_is_and_in_one_line() -> None:
    for sent, written in ((b'{"n":1e400}', b'{"n":1e400}'), (b'{\n"n": 1}', b'{"n": 1}')):
        body = PLAIN.write(Event(properties=sent).SerializeToString(), Event)
        assert b'"properties":' + written in body


def test_absent_message_is_left_out_and_an_empty_list_is_not() -> None:
    written = write_plain(GetProfileResponse())
    assert "profile" not in written
    assert write_plain(GetProfileResponse(profile={}))["profile"]["traits"] == []


def test_names_in_camel_case_are_read_too() -> None:
    assert read_plain({"segmentId": "a"}, ListMembersRequest) == ListMembersRequest(segment_id="a")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (
            b'{"segmnt_id": "a"}',
            "segmnt_id: ListMembersRequest has no such field; it has segment_id",
        ),
        (b'{"page_size": "x"}', "page_size"),
        (b'{"segment_id": 7}', "segment_id"),
    ],
)
def test_request_that_cannot_be_read_names_what_is_wrong(body: bytes, text: str) -> None:
    with pytest.raises(CallFailed) as caught:
        PLAIN.read(body, ListMembersRequest)
    assert text in caught.value.message
    assert caught.value.connect_status == 400


def test_id_that_is_not_hexadecimal_names_its_field() -> None:
    with pytest.raises(CallFailed, match=r".*") as caught:
        read_plain({"fact_id": "xyz"}, Fact)
    assert "fact_id: write hexadecimal digits" in caught.value.message


def test_deeply_nested_request_is_refused_as_any_other_mistake() -> None:
    body = b'{"all":' * 2_000 + b"1" + b"}" * 2_000
    with pytest.raises(CallFailed):
        PLAIN.read(body, Rule)
