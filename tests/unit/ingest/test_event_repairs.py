"""Tests that quarantined events are shown as messages that can be repaired."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onefold.ingest.v1.ingest_service_pb2 import Quarantined
from onefold.type.v1.event_pb2 import EVENT_TYPE_TRACK, Event

from services.console.gateway.forms import PLAIN
from services.console.gateway.plain_json import read_plain
from services.ingest.codec.repairs import event_to_repair
from services.ingest.domain.events import QuarantinedEvent, Refusal

RECEIVED_US = 1_700_000_000_000_000
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NAMES = (
    *("type", "event", "name", "messageId", "userId", "anonymousId", "timestamp", "sentAt"),
    *("properties", "traits", "context", "channel", "groupId", "previousId"),
)
CALLS = st.dictionaries(st.sampled_from(NAMES), VALUES)


def entry(raw: bytes, format_: str = "call:track") -> QuarantinedEvent:
    refusal = Refusal("NO_IDENTIFIER", "identifiers", "add one")
    return QuarantinedEvent(b"q" * 16, "w", "site", "http", refusal, format_, raw, RECEIVED_US)


def test_call_is_shown_with_all_that_it_states_and_its_corrected_time() -> None:
    call = {
        "event": "bought",
        "messageId": "m1",
        "userId": "u1",
        "timestamp": "2023-11-14T21:13:20Z",
        "sentAt": "2023-11-14T22:14:20Z",
        "properties": {"product": "A产品"},
    }
    event = event_to_repair(entry(json.dumps(call).encode()))
    assert event is not None
    assert (event.type, event.name, event.message_id) == (EVENT_TYPE_TRACK, "bought", "m1")
    assert [(each.namespace, each.value) for each in event.identifiers] == [("user_id", "u1")]
    # The clock of the sender is a minute fast.
    assert event.occurred_at_us == RECEIVED_US - 61 * 60 * 1_000_000
    assert json.loads(event.properties) == call["properties"]


@pytest.mark.parametrize(
    ("call", "shown"),
    [
        ({"event": 5}, {"name": "5"}),
        ({"event": ["a"]}, {"name": ""}),
        ({"event": "a", "properties": [1]}, {"name": "a", "properties": None}),
        ({"event": "a", "timestamp": "soon"}, {"name": "a", "occurred_at_us": 0}),
    ],
)
def test_what_has_a_wrong_type_is_left_out(call: dict[str, Any], shown: dict[str, Any]) -> None:
    event = event_to_repair(entry(json.dumps(call).encode()))
    assert event is not None
    written = plain(event)
    assert {name: written[name] for name in shown} == shown


def plain(event: Event) -> Any:
    """Return an event as the console reads it, within the entry that has it."""
    entry_bytes = Quarantined(event=event).SerializeToString()
    return json.loads(PLAIN.write(entry_bytes, Quarantined))["event"]


@pytest.mark.parametrize("raw", [b"", b"nothing", b"[1]", b"\xff"])
def test_what_is_no_event_is_not_shown_as_one(raw: bytes) -> None:
    assert event_to_repair(entry(raw)) is None
    assert event_to_repair(entry(raw, "body")) is None


@given(CALLS)
def test_any_call_is_shown_and_read_back_as_it_was_shown(call: dict[str, Any]) -> None:
    event = event_to_repair(entry(json.dumps(call).encode()))
    if event is not None:
        assert plain(read_plain(plain(event), Event)) == plain(event)


@given(st.binary(), st.binary(), st.text())
def test_any_documents_of_a_message_are_shown_or_left_out(
    properties: bytes, traits: bytes, name: str
) -> None:
    sent = Event(properties=properties, traits=traits, name=name)
    event = event_to_repair(entry(sent.SerializeToString(), "event"))
    assert event is not None
    assert plain(event)["name"] == name


def test_bytes_that_are_no_message_are_not_shown() -> None:
    assert event_to_repair(entry(b"\xff", "event")) is None
