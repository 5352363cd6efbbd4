"""Tests of the content by which a repeat of an event is recognised."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.codec.events import ProtoEvent, SegmentCall
from services.ingest.domain.admission import admit
from services.ingest.domain.events import Accepted, EventType, RawEvent, Source
from tests.index_key import INDEX_KEY

NOW = 1_764_201_600_000_000
SITE = Source("default", "site", INDEX_KEY, "web")
EVENT = RawEvent(
    EventType.TRACK,
    "Order Completed",
    "m-1",
    (("user_id", "u1"), ("phone", "+8613800000000")),
    NOW - 5_000_000,
    properties=b'{"total":12.5,"city":"\xe5\x8c\x97\xe4\xba\xac","items":[{"sku":"A","n":1},{}]}',
    context=b'{"ip":"192.0.2.1"}',
)


def tag(raw: RawEvent, source: Source = SITE, now_us: int = NOW) -> bytes:
    """Return the content tag of an event that is admitted."""
    outcome = admit(raw, source, now_us, lambda: "new-id")
    assert isinstance(outcome, Accepted), outcome
    return outcome.content_tag


@pytest.mark.parametrize(
    "change",
    [
        {
            "properties": b'{ "items" : [{"n":1,"sku":"A"}, {}],\n'
            b'"city":"\\u5317\\u4eac","total":125e-1}'
        },
        {
            "properties": b'{"total":12.50,"city":"\xe5\x8c\x97\xe4\xba\xac",'
            b'"items":[{"sku":"A","n":1.0},{}]}'
        },
        {"identifiers": (("phone", "+8613800000000"), ("user_id", "u1"))},
        {"identifiers": (("user_id", "u1"), ("phone", "138 0000 0000"), ("anonymous_id", "null"))},
        {"timestamp": "2025-11-26T23:59:55Z"},
        {"timestamp": "2025-11-27T07:59:55+08:00"},
        {"sent_at": NOW - 1_000_000},
        {"traits": b"{}"},
        {"context": b'{"ip":"192.0.2.1" }'},
    ],
)
def test_event_in_another_dress_has_the_same_content(change: dict[str, Any]) -> None:
    assert tag(EVENT._replace(**change)) == tag(EVENT)


@pytest.mark.parametrize(
    "change",
    [
        {"properties": b'{"total":12.5}'},
        {"properties": EVENT.properties.replace(b'"A"', b'"a"')},
        {"properties": EVENT.properties.replace(b"12.5", b'"12.5"')},
        {"properties": EVENT.properties.replace(b'"n":1', b'"n":true')},
        {"properties": EVENT.properties.replace(b"[{", b"[null,{")},
        {"traits": b'{"a":null}'},
        {"traits": EVENT.properties, "properties": b""},
        {"name": "order completed"},
        {"type": EventType.PAGE},
        {"timestamp": NOW - 6_000_000},
        {"timestamp": None},
        {"channel": "app"},
        {"identifiers": (("user_id", "u1"), ("phone", "+8613800000001"))},
        {"identifiers": (("user_id", "u1"),)},
        {"verified": (("phone", "+8613800000000"),)},
        {"context": b""},
        {"group_id": "acme"},
    ],
)
def test_event_that_states_something_else_has_other_content(change: dict[str, Any]) -> None:
    assert tag(EVENT._replace(**change)) != tag(EVENT)


def test_content_does_not_depend_on_what_ingest_fills_in() -> None:
    untimed = EVENT._replace(timestamp=None)
    assert tag(untimed) == tag(untimed, now_us=NOW + 60_000_000)
    assert tag(EVENT) == tag(EVENT, SITE._replace(channel="app"))


def test_content_of_a_group_event_has_both_copies_and_the_account() -> None:
    group = EVENT._replace(type=EventType.GROUP, name="", group_id="acme")
    ids = (("account_domain", "acme.cn"), ("account_tax_id", "1"))
    one, other = (group._replace(group_identifiers=each) for each in (ids, ids[::-1]))
    assert tag(one) == tag(other) != tag(group)


def test_integers_beyond_a_double_have_other_content() -> None:
    exact, next_one = (b'{"n":%d}' % (2**53 + n) for n in (1, 2))
    assert tag(EVENT._replace(properties=exact)) != tag(EVENT._replace(properties=next_one))


def test_one_call_has_the_same_content_at_every_endpoint() -> None:
    call = {
        "type": "track",
        "event": "Viewed",
        "messageId": "m",
        "userId": "u1",
        "timestamp": "2025-11-26T20:00:00Z",
        "properties": {"b": 1, "a": 2},
    }
    one = SegmentCall(json.dumps(call).encode())
    other = SegmentCall(json.dumps(dict(reversed(call.items())), indent=2).encode())
    accepted = admit(one.event, SITE, NOW, str)  # type: ignore[arg-type]
    assert isinstance(accepted, Accepted)
    proto = ProtoEvent(one._message(accepted))
    assert tag(one.event) == tag(other.event)  # type: ignore[arg-type]
    assert tag(proto.event._replace(channel="")) == tag(one.event)  # type: ignore[union-attr,arg-type]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(-1e15, 1e15)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.text("ab\u5317", min_size=1, max_size=3), children, max_size=4)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc", max_size=2), VALUES, max_size=5), st.randoms())
def test_any_dress_of_any_object_has_the_same_content(
    document: dict[str, Any], rng: random.Random
) -> None:
    encoders: list[Callable[[Any], str]] = [
        json.dumps,
        lambda value: json.dumps(value, indent=1, ensure_ascii=False),
        lambda value: json.dumps(value, separators=(" ,\t", "\n: ")),
    ]
    tags = {
        tag(EVENT._replace(properties=rng.choice(encoders)(_shuffled(document, rng)).encode()))
        for _ in range(4)
    }
    assert len(tags) == 1


def _shuffled(value: Any, rng: random.Random) -> Any:
    """Return an equal value with members in another order and whole floats as integers."""
    if isinstance(value, dict):
        members = [(name, _shuffled(one, rng)) for name, one in value.items()]
        rng.shuffle(members)
        return dict(members)
    if isinstance(value, list):
        return [_shuffled(one, rng) for one in value]
    if isinstance(value, float) and value.is_integer() and rng.random() < 0.5:
        return int(value)
    return value
