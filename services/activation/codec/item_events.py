"""Decodes what the events of the log say of items and of the objects that describe these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
from onefold.type.v1.event_pb2 import EVENT_TYPE_GROUP, Event

EVENT: Final[str] = Event.DESCRIPTOR.full_name


class ItemEvent(NamedTuple):
    """An event, as far as it may say something of items."""

    name: str
    #: Serialised objects; see `json_object`.
    properties: bytes
    #: The object that a group event describes; empty = it describes none.
    group_id: str
    traits: bytes


def decode_item_event(payload: bytes) -> ItemEvent:
    """Return the event of a payload."""
    event = Event.FromString(payload)
    group_id = event.group_id if event.type == EVENT_TYPE_GROUP else ""
    return ItemEvent(event.name, event.properties, group_id, event.traits)


def json_object(raw: bytes) -> Mapping[str, Any]:
    """Return the object in a text of JSON; an empty one where there is none."""
    try:
        value = msgspec.json.decode(raw or b"{}")
    except msgspec.DecodeError:
        return {}
    return value if isinstance(value, dict) else {}
