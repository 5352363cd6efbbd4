"""Defines the part of an event that a fold reads."""

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
#: Of facts about a person that are no events; no number of onefold.type.v1.EventType.
CORRECTION: Final = 100
SCORE: Final = 101

#: The names of pages and screens without a name, as rules use them.
UNNAMED: Final = {PAGE: "page", SCREEN: "screen"}
_NAMED: Final = frozenset({TRACK, PAGE, SCREEN})

_object = msgspec.json.Decoder(dict[str, Any])
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw])
_value = msgspec.json.Decoder()
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class EventView(msgspec.Struct, frozen=True, gc=False):
    """One event as a fold reads it."""

    #: One of the numbers above.
    type: int
    #: As it was sent; may be empty. Of a correction the trait, of a score the model.
    name: str
    #: Unix microseconds.
    occurred_at_us: int
    #: 16 bytes.
    fact_id: bytes
    #: A JSON object (UTF-8), or empty.
    properties: bytes = b""
    #: A JSON object (UTF-8), or empty.
    traits: bytes = b""
    #: In a group event of a person's leaf: the leaf of the account. 16 bytes, or empty.
    account_leaf: bytes = b""
    #: In a group event of an account's leaf: the leaf of the person. 16 bytes, or empty.
    member_leaf: bytes = b""
    #: The trust of its source: a number of services.kernel.trust.SourceTrust; 0 = not stated.
    trust: int = 0
    #: The party class of its source: a number of services.kernel.trust.Party; 0 = the first.
    party: int = 0
    #: In a group event of an account's leaf: the type of the object, such as `account`.
    object_type: str = ""
    #: The id of its source.
    source_id: str = ""
    #: How the person came: a JSON object of texts in canonical form, or empty.
    touch: bytes = b""
    #: Of a correction or a score: what `services.kernel.fold.additions` stores of it.
    record: Any = None


def rule_event_name(event: EventView) -> str:
    """Return the name of an event in rules; empty if rules cannot name it."""
    return name_in_rules(event.type, event.name)


def name_in_rules(type_: int, name: str) -> str:
    """Return the name in rules of an event of a type and with a name; empty if it has none."""
    if type_ in _NAMED:
        return name or UNNAMED.get(type_, "")
    return ""


def read_object(json: bytes) -> dict[str, Any]:
    """Return the members of a JSON object; none if the bytes are no valid object."""
    if not json:
        return {}
    try:
        return _object.decode(json)
    except _UNREADABLE:
        return {}


def raw_members(json: bytes) -> dict[str, bytes]:
    """Return the members of a JSON object with their raw values; none if it is not valid."""
    if not json:
        return {}
    try:
        return {name: bytes(value) for name, value in _parts.decode(json).items()}
    except _UNREADABLE:
        return {}


def read_value(json: bytes) -> Any:
    """Return the JSON value of some bytes; None if they are not valid JSON."""
    try:
        return _value.decode(json)
    except _UNREADABLE:
        return None
