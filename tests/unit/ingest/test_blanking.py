"""No key of Onefold is stored, however it is spelled, and nothing else is changed."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from onefold.type.v1.event_pb2 import Event

from services.chassis.access.keys import SECRET_CHARACTERS, identify_key, issue_key
from services.chassis.access.principal import Role
from services.ingest.codec.secrets import blank_body, blank_event, blank_keys, may_hold_key

#: The same in every process, as it is in the ids of tests.
KEY = "ofk_source_I6qSlWv4UHwjFJLm6MLDjFk-ZwMgX1EcWchJx1cbezo"
ID = identify_key(KEY).key_id
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


def spell(key: str, escaped: set[int], *, upper: bool = False) -> bytes:
    """Return a key with some of its characters as escapes of JSON."""
    form = "\\u{:04X}" if upper else "\\u{:04x}"
    return "".join(form.format(ord(c)) if i in escaped else c for i, c in enumerate(key)).encode()


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.INTERNAL])
def test_key_of_every_role_is_replaced_by_its_id(role: Role) -> None:
    issued = issue_key(role)
    assert len(issued.key) == len(f"ofk_{role.name.lower()}_") + SECRET_CHARACTERS
    assert blank_keys(b"a" + issued.key.encode() + b"-b") == f"a({issued.key_id})-b".encode()


@given(st.sets(st.integers(0, len(KEY) - 1)), st.booleans(), TEXT)
def test_escaped_key_is_replaced_in_json_that_stays_valid(
    escaped: set[int], upper: bool, around: str
) -> None:
    quoted = json.dumps(around)[1:-1].encode()
    raw = b'{"a":"' + quoted + spell(KEY, escaped, upper=upper) + b'","b":1}'
    blanked = blank_keys(raw)
    assert json.loads(blanked) == {"a": f"{around}({ID})", "b": 1}
    assert blank_keys(blanked) == blanked


@given(
    st.binary() | TEXT.map(str.encode) | st.dictionaries(TEXT, TEXT).map(json.dumps).map(str.encode)
)
def test_bytes_without_a_key_are_unchanged(raw: bytes) -> None:
    assert blank_keys(raw) is raw or blank_keys(raw) == raw


@pytest.mark.parametrize(
    "text",
    [
        KEY[:-1],
        KEY.replace("ofk", "ofx"),
        KEY.replace("_source_", "_SOURCE_"),
        "ofk_source_",
        "ofk_" * 5,
    ],
)
def test_text_that_is_no_key_is_unchanged(text: str) -> None:
    assert blank_keys(text.encode()) == text.encode()


def test_escaped_backslash_before_a_key_is_no_escape() -> None:
    raw = b'{"a":"\\\\u006f' + KEY[1:].encode() + b'"}'
    assert json.loads(blank_keys(raw)) == json.loads(raw)
    raw = b'{"a":"\\\\\\u006f' + KEY[1:].encode() + b'"}'
    assert json.loads(blank_keys(raw)) == {"a": f"\\({ID})"}


@pytest.mark.parametrize("raw", [b"", b'{"a":"\\u00e9"}', b'{"a":"\\u4e2d"}', b'{"event":"ok"}'])
def test_usual_json_holds_no_key_by_its_substrings(raw: bytes) -> None:
    assert not may_hold_key(raw)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, zstandard.compress])
@pytest.mark.parametrize("end", [None, -9])
def test_compressed_body_with_a_key_is_stored_as_text(pack: object, end: int | None) -> None:
    plain = b'{"batch":[{"userId":"' + KEY.encode() + b'"},' + b"x" * 20_000
    blanked = blank_body(pack(plain)[:end])  # type: ignore[operator]
    assert KEY.encode() not in blanked
    assert f'{{"batch":[{{"userId":"({ID})"}}'.encode() in blanked


def test_body_without_a_key_is_stored_as_it_was_sent() -> None:
    for raw in (gzip.compress(b"[]"), b"\x1f\x8b broken", b"\x28\xb5\x2f\xfd", b"x is no zlib"):
        assert blank_body(raw) == raw


def test_incomplete_body_is_stored_as_far_as_it_can_be_checked() -> None:
    assert blank_body(gzip.compress(b"[1]")[:-9]) == b"[1]"


def test_bomb_is_stored_as_no_more_bytes_than_were_sent() -> None:
    bomb = gzip.compress(b" " * (64 << 20) + KEY.encode())
    stored = blank_body(bomb)
    assert set(stored) == {ord(" ")}
    assert len(stored) <= len(bomb)


def test_every_text_of_an_event_is_blanked() -> None:
    event = Event(type=1, occurred_at_us=7)
    document = json.dumps({"a": [KEY], KEY: 1}).encode()
    for field in Event.DESCRIPTOR.fields:
        if field.type == field.TYPE_STRING:
            setattr(event, field.name, f"a {KEY} b")
        elif field.type == field.TYPE_BYTES:
            setattr(event, field.name, document)
        elif field.type == field.TYPE_MESSAGE:
            getattr(event, field.name).add(namespace=KEY, value=f"{KEY}-1")
    unknown = Event.FromString(event.SerializeToString() + b"\xfa\x3f\x36" + KEY.encode())
    blank_event(unknown)
    assert KEY.encode() not in unknown.SerializeToString()
    assert not may_hold_key(unknown.SerializeToString())
    assert unknown.name == f"a ({ID}) b"
    assert json.loads(unknown.traits) == {"a": [f"({ID})"], f"({ID})": 1}
    assert unknown.identifiers[0].value == f"({ID})-1"
    assert (unknown.type, unknown.occurred_at_us) == (1, 7)
