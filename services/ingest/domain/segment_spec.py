"""Parses the JSON calls of the Segment specification into events.

Field names and their meaning follow the public specification (`userId`, `anonymousId`,
`previousId`, `traits`, `context` …) and what its clients really send: ids that are null, traits of
an identify inside `context`, `originalTimestamp` instead of `timestamp`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from services.ingest.domain.events import EventType, RawEvent, Refusal
from services.ingest.domain.json_limits import invalid_json
from services.ingest.domain.request_body import RequestBody
from services.kernel.identifiers.model import ACCOUNT_PREFIX, is_account_namespace, validation_error

#: Values that some SDKs send as `channel`: they name the kind of SDK, not the customer's channel.
SDK_CHANNELS = frozenset({"server", "client", "browser", "mobile", "sources"})

TYPES = {type_.name.lower(): type_ for type_ in EventType}

#: The specification's names of the fields of the API contract.
FIELD_NAMES = {
    "message_id": "messageId",
    "occurred_at_us": "timestamp",
    "sent_at": "sentAt",
    "group_id": "groupId",
    "name": "event",
    "identifiers": "userId",
    "group_identifiers": "context.externalIds",
}

#: The collection of external ids that identify an account.
ACCOUNTS = "accounts"

_ABSENT = msgspec.Raw(b"")


class _Call(msgspec.Struct, rename="camel"):
    type: Any = None
    event: Any = None
    name: Any = None
    message_id: Any = None
    user_id: Any = None
    anonymous_id: Any = None
    previous_id: Any = None
    group_id: Any = None
    timestamp: Any = None
    original_timestamp: Any = None
    sent_at: Any = None
    channel: Any = None
    properties: msgspec.Raw = _ABSENT
    traits: msgspec.Raw = _ABSENT
    context: msgspec.Raw = _ABSENT


class _Context(msgspec.Struct, rename="camel"):
    traits: msgspec.Raw = _ABSENT
    channel: Any = None
    external_ids: Any = None


_NO_CONTEXT = _Context()


class _ContactTraits(msgspec.Struct):
    email: Any = None
    phone: Any = None


_decode_call = msgspec.json.Decoder(_Call).decode
_decode_context = msgspec.json.Decoder(_Context).decode
_decode_contact_traits = msgspec.json.Decoder(_ContactTraits).decode
_MALFORMED = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


def parse_call(
    raw: bytes, type_: EventType | None = None, body: RequestBody | None = None
) -> RawEvent | Refusal:
    """Parse one call. `type_` is given where the URL path names it, `body` for a batch."""
    try:
        call = _decode_call(raw)
    except msgspec.ValidationError:
        return Refusal("NOT_AN_EVENT", "", "an event must be a JSON object")
    except _MALFORMED:
        return invalid_json("", raw)
    kind = type_ or (TYPES.get(call.type.lower()) if isinstance(call.type, str) else None)
    if kind is None:
        return Refusal("NOT_AN_EVENT", "type", f"the type must be one of {', '.join(TYPES)}")
    document = _document(call.context) or (_without_null(body.context) if body else b"")
    context = _context_of(document, kind)
    traits = _document(call.traits)
    if not traits and kind is EventType.IDENTIFY:
        traits = _document(context.traits)
    return RawEvent(
        kind,
        call.event if kind is EventType.TRACK else call.name,
        call.message_id,
        tuple(_identifiers(call, kind, traits, context)),
        _stated(call.timestamp, call.original_timestamp),
        _stated(call.sent_at, body.sent_at if body else None),
        _document(call.properties),
        traits,
        document,
        _channel(call.channel, context.channel),
        call.group_id,
        tuple(_account_identifiers(context.external_ids)) if kind is EventType.GROUP else (),
    )


def _stated(value: object, otherwise: object) -> object:
    """Return a value, or the other one where it is absent; 0 and false are values."""
    return otherwise if value is None or value == "" else value


def _document(raw: msgspec.Raw) -> bytes:
    return _without_null(bytes(raw))


def _without_null(document: bytes) -> bytes:
    return b"" if document == b"null" else document


def _context_of(document: bytes, kind: EventType) -> _Context:
    """Decode the fields of a context that admission needs; none where the context is malformed."""
    if kind is not EventType.IDENTIFY and not (
        b'"channel"' in document or b'"externalIds"' in document
    ):
        return _NO_CONTEXT
    try:
        return _decode_context(document)
    except _MALFORMED:
        return _NO_CONTEXT


def _channel(stated: object, in_context: object) -> object:
    if isinstance(stated, str) and stated.lower() in SDK_CHANNELS:
        stated = None
    return stated or in_context


def _identifiers(
    call: _Call, kind: EventType, traits: bytes, context: _Context
) -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = [
        ("user_id", call.user_id),
        ("anonymous_id", call.anonymous_id),
    ]
    if kind is EventType.ALIAS and call.previous_id:
        # Clients send either kind of id as the previous one, so the alias names both.
        pairs += [("user_id", call.previous_id), ("anonymous_id", call.previous_id)]
    if kind is EventType.IDENTIFY and traits:
        pairs += _contact_identifiers(traits)
    if context.external_ids:
        pairs += _external_identifiers(context.external_ids)
    return [pair for pair in pairs if pair[1] is not None and pair[1] != ""]


def _contact_identifiers(traits: bytes) -> list[tuple[str, object]]:
    """Return the valid e-mail address and phone number; an invalid one is only a trait."""
    try:
        contact = _decode_contact_traits(traits)
    except _MALFORMED:
        return []
    return _valid((("email", contact.email), ("phone", contact.phone)))


def _external_identifiers(external_ids: object) -> list[tuple[str, object]]:
    """Return the person's identifiers of `context.externalIds`, a list of {type, id}."""
    return _valid(
        (str(entry.get("type")).lower(), entry.get("id"))
        for entry in _entries(external_ids)
        if entry.get("collection") != ACCOUNTS
    )


def _account_identifiers(external_ids: object) -> list[tuple[str, object]]:
    """Return the account's external ids; a type may be short: `domain` is `account_domain`."""
    types = [
        (str(entry.get("type")).lower(), entry.get("id"))
        for entry in _entries(external_ids)
        if entry.get("collection") == ACCOUNTS
    ]
    return _valid(
        (n if is_account_namespace(n) else ACCOUNT_PREFIX + n, value) for n, value in types
    )


def _entries(external_ids: object) -> list[dict[str, Any]]:
    if not isinstance(external_ids, list):
        return []
    return [entry for entry in external_ids if isinstance(entry, dict)]


def _valid(pairs: Iterable[tuple[str, object]]) -> list[tuple[str, object]]:
    return [(n, value) for n, value in pairs if validation_error(n, value) is None]
