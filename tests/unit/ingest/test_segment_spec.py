"""Tests the parsing of the Segment specification's calls."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.codec.events import SegmentCall, call_of_batch
from services.ingest.domain.admission import admit
from services.ingest.domain.events import EventType, RawEvent, Refusal, Source
from services.ingest.domain.request_body import (
    RequestBody,
    batch_calls,
    find_write_key,
    parse_body,
    without_mark,
)
from services.ingest.domain.segment_spec import parse_call
from services.kernel.time import parse_rfc3339
from tests.index_key import INDEX_KEY


def read(call: dict[str, Any], type_: EventType | None = None, **batch: Any) -> RawEvent:
    body = parse_body(json.dumps(batch).encode()) if batch else None
    assert not isinstance(body, Refusal)
    raw = parse_call(json.dumps(call).encode(), type_, body)
    assert isinstance(raw, RawEvent), raw
    return raw


def batch_of(body: bytes) -> list[bytes] | Refusal:
    read = parse_body(body)
    assert isinstance(read, RequestBody)
    return batch_calls(read)


def test_track_has_all_its_fields() -> None:
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


def test_null_id_is_absent() -> None:
    raw = read({"type": "page", "userId": None, "anonymousId": "a", "properties": None})
    assert raw.identifiers == (("anonymous_id", "a"),)
    assert raw.properties == b""


def test_id_of_a_wrong_type_is_passed_to_admission() -> None:
    assert read({"type": "page", "userId": 5}).identifiers == (("user_id", 5),)


def test_identify_has_the_email_and_phone_of_its_traits() -> None:
    raw = read({"type": "identify", "userId": "u", "traits": {"email": "a@b.cn", "phone": "138"}})
    assert raw.identifiers == (("user_id", "u"), ("email", "a@b.cn"), ("phone", "138"))


def test_identify_with_an_invalid_email_trait_has_no_such_identifier() -> None:
    raw = read({"type": "identify", "userId": "u", "traits": {"email": 5, "phone": "1" * 513}})
    assert raw.identifiers == (("user_id", "u"),)


def test_track_has_no_identifiers_of_its_traits() -> None:
    call = {
        "type": "track",
        "event": "e",
        "userId": "u",
        "context": {"traits": {"email": "a@b.cn"}},
    }
    assert read(call).identifiers == (("user_id", "u"),)


def test_identify_without_traits_takes_those_of_its_context() -> None:
    raw = read({"type": "identify", "userId": "u", "context": {"traits": {"email": "a@b.cn"}}})
    assert json.loads(raw.traits) == {"email": "a@b.cn"}
    assert ("email", "a@b.cn") in raw.identifiers


def test_external_ids_become_identifiers() -> None:
    ids = [{"type": "wechat_unionid", "id": "o1"}, {"type": "b c", "id": "x"}, {"id": 5}, 7]
    raw = read({"type": "page", "userId": "u", "context": {"externalIds": ids}})
    assert raw.identifiers == (("user_id", "u"), ("wechat_unionid", "o1"))


def test_alias_has_the_previous_id_in_both_namespaces() -> None:
    raw = read({"type": "alias", "userId": "u", "previousId": "p"})
    assert set(raw.identifiers) == {("user_id", "u"), ("user_id", "p"), ("anonymous_id", "p")}


def test_type_of_the_url_path_replaces_a_missing_type() -> None:
    assert read({"userId": "u"}, EventType.SCREEN).type is EventType.SCREEN


def test_original_timestamp_replaces_a_missing_timestamp() -> None:
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
def test_channel_is_stated_or_that_of_the_context_but_not_a_kind_of_sdk(
    stated: str | None, in_context: str | None, channel: str | None
) -> None:
    call = {"type": "page", "userId": "u", "channel": stated, "context": {"channel": in_context}}
    assert read(call).channel == channel


def test_call_without_a_context_gets_that_of_its_batch() -> None:
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
def test_call_that_is_no_event_is_refused(call: bytes, reason: str) -> None:
    refused = parse_call(call)
    assert isinstance(refused, Refusal)
    assert refused.reason == reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "JSON_INVALID"),
        (b"{", "JSON_INVALID"),
        (b'{"a":' * 50_000, "PROPERTIES_TOO_LARGE"),
        (b'{"sentAt":"\xff"}', "JSON_INVALID"),
        (b"[1]", "NOT_AN_EVENT"),
        (b"7", "NOT_AN_EVENT"),
    ],
)
def test_invalid_body_is_refused(body: bytes, reason: str) -> None:
    refused = parse_body(body)
    assert isinstance(refused, Refusal)
    assert refused.reason == reason


@pytest.mark.parametrize("body", [b"{}", b'{"batch":null}', b'{"batch":[]}', b'{"batch":{}}'])
def test_empty_batch_is_refused(body: bytes) -> None:
    refused = batch_of(body)
    assert isinstance(refused, Refusal)
    assert refused.reason == "BATCH_EMPTY"


def test_batch_calls_are_the_bytes_that_were_sent() -> None:
    assert batch_of(b'{"batch":[{"a": 1}, 5,null]}') == [b'{"a": 1}', b"5", b"null"]


@given(st.binary(max_size=80))
def test_any_bytes_are_parsed_or_refused(raw: bytes) -> None:
    assert isinstance(parse_body(raw), RequestBody | Refusal)
    assert isinstance(parse_call(raw), RawEvent | Refusal)


wrong_values = st.one_of(
    st.none(), st.integers(), st.text(max_size=4), st.lists(st.integers(), max_size=2)
)


@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["track", "identify", "alias", "page"])},
        optional={
            name: st.one_of(
                wrong_values, st.dictionaries(st.text(max_size=6), wrong_values, max_size=3)
            )
            for name in ("userId", "traits", "context", "properties", "timestamp", "previousId")
        },
    )
)
def test_any_object_of_a_valid_type_is_parsed(call: dict[str, Any]) -> None:
    assert isinstance(parse_call(json.dumps(call).encode()), RawEvent)


def reason_of(call: bytes) -> str | None:
    """Return why a call is refused, by the parser or by admission."""
    raw = parse_call(call)
    if isinstance(raw, RawEvent):
        outcome = admit(
            raw, Source("w", "s", INDEX_KEY), parse_rfc3339("2026-11-21T20:00:00Z"), str
        )
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
def test_malformed_call_does_not_refuse_the_others_of_its_batch(bad: bytes, reason: str) -> None:
    whole = b' {"writeKey": "k", "sentAt":"2026-11-21T20:00:01Z" , "batch" : [' + GOOD + b" , "
    body = parse_body(whole + bad + b",\n" + GOOD + b'] , "context": {"ip": 1} } ')
    assert isinstance(body, RequestBody)
    assert batch_calls(body) == [GOOD, bad, GOOD]
    assert body.sent_at == parse_rfc3339("2026-11-21T20:00:01Z")
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
def test_body_that_cannot_be_split_is_refused_as_a_whole(body: bytes) -> None:
    assert isinstance(parse_body(body), Refusal)


@given(
    st.lists(st.sampled_from([GOOD, b"NaN", b'"\\ud800"', b"[1, 2]", b'"\xff"', b"5"]), max_size=6)
)
def test_lenient_split_returns_the_bytes_of_every_call(calls: list[bytes]) -> None:
    body = parse_body(b'{"batch":[' + b" ,".join(calls) + b"]}")
    assert isinstance(body, RequestBody)
    assert body.calls == calls


@pytest.mark.parametrize("field", ["timestamp", "originalTimestamp"])
def test_timestamp_0_is_a_time_and_not_now(field: str) -> None:
    assert read({"type": "track", "event": "e", "userId": "u", field: 0}).timestamp == 0


@pytest.mark.parametrize("absent", [None, ""])
def test_absent_timestamp_is_replaced_by_the_original_one(absent: object) -> None:
    call = {"type": "track", "event": "e", "userId": "u", "timestamp": absent}
    assert read({**call, "originalTimestamp": "x"}).timestamp == "x"
    assert read(call).timestamp is None


@pytest.mark.parametrize("value", [0, False, [], {}])
def test_false_timestamp_is_not_replaced(value: object) -> None:
    call = {"type": "track", "event": "e", "userId": "u", "originalTimestamp": "x"}
    assert read({**call, "timestamp": value}).timestamp == value


class TestBatchOfOneCall:
    """What the quarantine stores of a call is that call with the fields beside it."""

    @pytest.mark.parametrize(
        "beside",
        [
            b'"sentAt":"2026-11-21T20:00:00Z","context":{"channel":"app"}',
            b'"sentAt":1763755200000000',
            b'"context":{"a":[1,{"b":null}]}',
            b'"sentAt":"never"',
            b'"sentAt":NaN,"context":{"a":NaN}',
            b'"context":"no object"',
            b'"context":null,"sentAt":null',
        ],
    )
    @pytest.mark.parametrize("call", [b'{"type":"track"}', b'{"a":NaN}', b'"\\ud800"', b"7"])
    def test_split_again_gives_the_same_call_and_fields(self, beside: bytes, call: bytes) -> None:
        body = parse_body(b'{"batch":[{"type":"page"},%b],%b}' % (call, beside))
        assert isinstance(body, RequestBody)
        assert body.calls is not None
        again = parse_body(body.around(body.calls[1]))
        assert isinstance(again, RequestBody)
        assert again.calls == [call]
        assert (again.sent_at, again.context) == (body.sent_at, body.context)

    def test_released_call_has_the_context_and_the_time_of_its_batch(self) -> None:
        body = parse_body(
            b'{"batch":[{"type":"track","userId":"u"}],"sentAt":"2026-11-21T20:00:00Z",'
            b'"context":{"channel":"app"}}'
        )
        assert isinstance(body, RequestBody)
        assert body.calls is not None
        sent = SegmentCall(body.calls[0], None, body)
        released = call_of_batch(sent.raw())
        assert released is not None
        assert (sent.format, released.event) == ("batch", sent.event)

    def test_repeat_with_another_time_of_sending_has_the_same_bytes_of_its_own(self) -> None:
        bodies = [
            parse_body(b'{"batch":[{"type":"track"}],"sentAt":"2026-11-21T20:00:0%dZ"}' % n)
            for n in range(2)
        ]
        calls = [
            SegmentCall(b.calls[0], None, b)
            for b in bodies
            if isinstance(b, RequestBody) and b.calls
        ]
        assert len({call.own_bytes() for call in calls}) == 1
        assert len({call.raw() for call in calls}) == 2


def test_batch_of_values_that_are_too_small_for_events_is_refused() -> None:
    body = parse_body(b'{"batch":[%b]}' % b",".join([b"1"] * 1_001))
    assert isinstance(body, RequestBody)
    refused = batch_calls(body)
    assert isinstance(refused, Refusal)
    assert refused.reason == "NOT_AN_EVENT"


def test_large_batch_is_split_into_all_its_calls() -> None:
    call = b'{"type":"page","userId":"u"}'
    body = parse_body(b'{"batch":[%b]}' % b",".join([call] * 50_000))
    assert isinstance(body, RequestBody)
    assert batch_calls(body) == [call] * 50_000


def test_mark_before_a_body_is_removed() -> None:
    assert without_mark(b"\xef\xbb\xbf{}") == without_mark(b"{}") == b"{}"
    assert find_write_key(b'\xef\xbb\xbf{"writeKey":"k","batch":[') == "k"
