"""The part of an event that a fold looks at."""

from __future__ import annotations

from typing import Any, Final

import msgspec

#: The numbers of onefold.type.v1.EventType.
TRACK: Final = 1
IDENTIFY: Final = 2
PAGE: Final = 3
SCREEN: Final = 4
GROUP: Final = 5
ALIAS: Final = 6

#: What a page or screen without a name is called in rules.
UNNAMED: Final = {PAGE: "page", SCREEN: "screen"}
_NAMED: Final = frozenset({TRACK, PAGE, SCREEN})

_object = msgspec.json.Decoder(dict[str, Any])
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw])
_value = msgspec.json.Decoder()
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class EventView(msgspec.Struct, frozen=True, gc=False):
    """One event as a fold sees it."""

    #: One of the numbers above.
    type: int
    #: As it came; may be empty.
    name: str
    #: Unix microseconds.
    occurred_at_us: int
    #: 16 bytes.
    fact_id: bytes
    #: A JSON object (UTF-8), or empty.
    properties: bytes = b""
    #: A JSON object (UTF-8), or empty.
    traits: bytes = b""
    #: Of a group event under the leaf of the person: the leaf of the account. 16 bytes, or empty.
    account_leaf: bytes = b""
    #: Of a group event under the leaf of the account: the leaf of the person. 16 bytes, or empty.
    member_leaf: bytes = b""


def rule_event_name(event: EventView) -> str:
    """The name by which rules know an event; empty where they cannot."""
    if event.type in _NAMED:
        return event.name or UNNAMED.get(event.type, "")
    return ""


def read_object(json: bytes) -> dict[str, Any]:
    """The members of a JSON object; none where the bytes are no readable object."""
    if not json:
        return {}
    try:
        return _object.decode(json)
    except _UNREADABLE:
        return {}


def raw_members(json: bytes) -> dict[str, bytes]:
    """The members of a JSON object with their values as they were written; none as above."""
    if not json:
        return {}
    try:
        return {name: bytes(value) for name, value in _parts.decode(json).items()}
    except _UNREADABLE:
        return {}


def read_value(json: bytes) -> Any:
    """A decoded JSON value; None where the bytes are no readable one."""
    try:
        return _value.decode(json)
    except _UNREADABLE:
        return None
