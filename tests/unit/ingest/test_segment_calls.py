"""The Segment specification's calls as events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.admission import admit
from services.ingest.domain.model import EventType, RawEvent, Refusal, Source
from services.ingest.domain.request_body import Body, read_batch, read_body
from services.ingest.domain.segment_spec import read_call
from services.kernel.time import parse_rfc3339


def read(call: dict[str, Any], type_: EventType | None = None, **batch: Any) -> RawEvent:
    body = read_body(json.dumps(batch).encode()) if batch else None
    assert not isinstance(body, Refusal)
    raw = read_call(json.dumps(call).encode(), type_, body)
    assert isinstance(raw, RawEvent), raw
    return raw


def batch_of(body: bytes) -> list[bytes] | Refusal:
    read = read_body(body)
    assert isinstance(read, Body)
    return read_batch(read)


def test_a_track() -> None:
    raw = read(
        {
            "type": "track",
            "event": "Course Viewed",
            "messageId": "m",
            "userId": "u",
            "anonymousId": "a",
            "timestamp": "2026-11-21T20:00:00Z",
            "properties": {"price": 1},
            "context": {"ip": "::1"},
            "integrations": {},
        },
        sentAt="2026-11-21T20:00:01Z",
    )
    assert raw == RawEvent(
        EventType.TRACK,
        "Course Viewed",
        "m",
        (("user_id", "u"), ("anonymous_id", "a")),
        "2026-11-21T20:00:00Z",
        parse_rfc3339("2026-11-21T20:00:01Z"),
        b'{"price": 1}',
        b"",
        b'{"ip": "::1"}',
        None,
        None,
    )


def test_null_ids_are_absent() -> None:
    raw = read({"type": "page", "userId": None, "anonymousId": "a", "properties": None})
    assert raw.identifiers == (("anonymous_id", "a"),)
    assert raw.properties == b""


def test_ids_of_wrong_types_are_kept_for_admission() -> None:
    assert read({"type": "page", "userId": 5}).identifiers == (("user_id", 5),)


def test_an_identify_names_e_mail_and_phone() -> None:
    raw = read({"type": "identify", "userId": "u", "traits": {"email": "a@b.cn", "phone": "138"}})
    assert raw.identifiers == (("user_id", "u"), ("email", "a@b.cn"), ("phone", "138"))


def test_a_bad_trait_is_no_identifier() -> None:
    raw = read({"type": "identify", "userId": "u", "traits": {"email": 5, "phone": "1\u0001"}})
    assert raw.identifiers == (("user_id", "u"),)


def test_traits_of_a_track_are_no_identifiers() -> None:
    call = {
        "type": "track",
        "event": "e",
        "userId": "u",
        "context": {"traits": {"email": "a@b.cn"}},
    }
    assert read(call).identifiers == (("user_id", "u"),)


def test_traits_of_an_identify_may_stand_in_its_context() -> None:
    raw = read({"type": "identify", "userId": "u", "context": {"traits": {"email": "a@b.cn"}}})
    assert json.loads(raw.traits) == {"email": "a@b.cn"}
    assert ("email", "a@b.cn") in raw.identifiers


def test_external_ids() -> None:
    ids = [{"type": "wechat_unionid", "id": "o1"}, {"type": "b c", "id": "x"}, {"id": 5}, 7]
    raw = read({"type": "page", "userId": "u", "context": {"externalIds": ids}})
    assert raw.identifiers == (("user_id", "u"), ("wechat_unionid", "o1"))


def test_an_alias_names_the_previous_id_both_ways() -> None:
    raw = read({"type": "alias", "userId": "u", "previousId": "p"})
    assert set(raw.identifiers) == {("user_id", "u"), ("user_id", "p"), ("anonymous_id", "p")}


def test_the_address_may_name_the_type() -> None:
    assert read({"userId": "u"}, EventType.SCREEN).type is EventType.SCREEN


def test_the_original_timestamp_stands_in() -> None:
    call = {"type": "page", "userId": "u", "originalTimestamp": "t0", "sentAt": "s0"}
    raw = read(call, sentAt="s1")
    assert (raw.timestamp, raw.sent_at) == ("t0", "s0")


@pytest.mark.parametrize(
    ("stated", "in_context", "channel"),
    [
        ("app", None, "app"),
        ("server", None, None),
        ("server", "mini_program", "mini_program"),
        (None, "offline", "offline"),
    ],
)
def test_the_channel(stated: str | None, in_context: str | None, channel: str | None) -> None:
    call = {"type": "page", "userId": "u", "channel": stated, "context": {"channel": in_context}}
    assert read(call).channel == channel


def test_a_batch_lends_its_context() -> None:
    raw = read({"type": "page", "userId": "u"}, context={"ip": "::1"})
    assert json.loads(raw.context) == {"ip": "::1"}


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (b"[]", "NOT_AN_EVENT"),
        (b"5", "NOT_AN_EVENT"),
        (b"null", "NOT_AN_EVENT"),
        (b'{"type":"delete","userId":"u"}', "NOT_AN_EVENT"),
        (b'{"type":7,"userId":"u"}', "NOT_AN_EVENT"),
        (b'{"userId":"u"}', "NOT_AN_EVENT"),
        (b'{"type":"page","userId":"\xff"}', "JSON_INVALID"),
    ],
)
def test_what_is_no_event(call: bytes, reason: str) -> None:
    refused = read_call(call)
    assert isinstance(refused, Refusal)
    assert refused.reason == reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "JSON_INVALID"),
        (b"{", "JSON_INVALID"),
        (b'{"a":' * 50_000, "PROPERTIES_TOO_LARGE"),
        (b'{"writeKey":"\xff"}', "JSON_INVALID"),
        (b"[1]", "NOT_AN_EVENT"),
        (b"7", "NOT_AN_EVENT"),
    ],
)
def test_a_bad_body(body: bytes, reason: str) -> None:
    refused = read_body(body)
    assert isinstance(refused, Refusal)
    assert refused.reason == reason


@pytest.mark.parametrize("body", [b"{}", b'{"batch":null}', b'{"batch":[]}', b'{"batch":{}}'])
def test_an_empty_batch(body: bytes) -> None:
    refused = batch_of(body)
    assert isinstance(refused, Refusal)
    assert refused.reason == "BATCH_EMPTY"


def test_the_calls_of_a_batch_as_they_came() -> None:
    assert batch_of(b'{"batch":[{"a": 1}, 5,null]}') == [b'{"a": 1}', b"5", b"null"]


@given(st.binary(max_size=80))
def test_any_bytes_have_an_answer(raw: bytes) -> None:
    read_body(raw)
    read_call(raw)


junk = st.one_of(st.none(), st.integers(), st.text(max_size=4), st.lists(st.integers(), max_size=2))


@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["track", "identify", "alias", "page"])},
        optional={
            name: st.one_of(junk, st.dictionaries(st.text(max_size=6), junk, max_size=3))
            for name in ("userId", "traits", "context", "properties", "timestamp", "previousId")
        },
    )
)
def test_any_object_of_a_known_type_is_read(call: dict[str, Any]) -> None:
    assert isinstance(read_call(json.dumps(call).encode()), RawEvent)


def reason_of(call: bytes) -> str | None:
    """Why a call is refused, by whichever part of the door."""
    raw = read_call(call)
    if isinstance(raw, RawEvent):
        outcome = admit(raw, Source("w", "s"), parse_rfc3339("2026-11-21T20:00:00Z"), str)
        return outcome.reason if isinstance(outcome, Refusal) else None
    return raw.reason


GOOD = b'{ "type": "page", "userId": "\xe6\x9d\x8e" }'


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"type":"page","userId":"u","properties":{"a":NaN}}', "VALUE_INVALID"),
        (b'{"type":"page","userId":"u","properties":{"a":-Infinity}}', "VALUE_INVALID"),
        (b'{"type":"page","userId":"u","properties":{"a":"\\ud83d"}}', "VALUE_INVALID"),
        (b'{"type":"page","userId":"u","properties":{"a":"\x00"}}', "VALUE_INVALID"),
        (b'{"type":"page","userId":"u","properties":{"a":"\x07"}}', "JSON_INVALID"),
        (b'{"type":"page","userId":"u\xff"}', "JSON_INVALID"),
    ],
)
def test_one_malformed_call_does_not_take_the_others_with_it(bad: bytes, reason: str) -> None:
    whole = b' {"writeKey": "k", "sentAt":"2026-11-21T20:00:01Z" , "batch" : [' + GOOD + b" , "
    body = read_body(whole + bad + b",\n" + GOOD + b'] , "context": {"ip": 1} } ')
    assert isinstance(body, Body)
    assert read_batch(body) == [GOOD, bad, GOOD]
    assert (body.write_key, body.sent_at) == ("k", parse_rfc3339("2026-11-21T20:00:01Z"))
    assert body.context == b'{"ip": 1}'
    assert reason_of(bad) == reason
    assert reason_of(GOOD) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"batch":[NaN,]}',
        b'{"batch":[NaN',
        b'{"batch":[NaN]',
        b'{"batch":[NaN]} x',
        b'{"batch":{"a":NaN}}',
        b'{"batch" [NaN]}',
        b"{batch:[NaN]}",
        b"[NaN]",
        b'{"batch":[NaN' + b"[" * 5_000 + b"]}",
    ],
)
def test_what_cannot_be_cut_is_refused_as_a_whole(body: bytes) -> None:
    assert isinstance(read_body(body), Refusal)


@given(
    st.lists(st.sampled_from([GOOD, b"NaN", b'"\\ud800"', b"[1, 2]", b'"\xff"', b"5"]), max_size=6)
)
def test_cutting_keeps_every_call_as_it_came(calls: list[bytes]) -> None:
    body = read_body(b'{"batch":[' + b" ,".join(calls) + b"]}")
    assert isinstance(body, Body)
    assert body.calls == calls
