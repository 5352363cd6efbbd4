"""Checks the JSON objects of an event (properties, traits, context) against the limits.

A scan of a document's bytes decides whether it may break a limit. Only a suspicious document is
walked value by value.
"""

from __future__ import annotations

import math
import re
from typing import TypeAlias

import msgspec

from services.ingest.domain.events import Refusal

MAX_BYTES = 32 * 1024
MAX_KEYS = 255
MAX_DEPTH = 20
MAX_NUMBER = 2**63

#: No shorter JSON object has more than MAX_KEYS keys (`"":1,` is 5 bytes).
_FEW_KEYS_BYTES = 5 * MAX_KEYS


def _read_number(text: str) -> float:
    """Return a number with a point or an exponent; an integer where it is a whole one."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) <= _MAX_EXACT else number


_skip = msgspec.json.Decoder(msgspec.Raw).decode
_decode = msgspec.json.Decoder(float_hook=_read_number).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_value = msgspec.json.Decoder().decode
#: All bytes but those that begin an object or an array: deleting them costs half of two counts.
_NO_BRACKETS = bytes(set(range(256)) - set(b"{["))
#: Digits and + become 0, E becomes e: so a huge number or exponent is a plain substring.
_NUMBERS = bytes.maketrans(b"123456789+E", b"0000000000e")
_MANY_DIGITS = b"0" * 19
#: Such digits where they are a number and not part of a text such as a UUID.
_HUGE_NUMBER = re.compile(rb"[:,\[\s]-?(?:[\d.]{19}|[\d.]+[eE]\+?\d{3})")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_NOT_A_NUMBER = re.compile(rb"[:\[,]\s*-?(NaN|Infinity)")
#: More digits than Python converts to a float.
_ENDLESS_DIGITS = re.compile(rb"(?<!\d)\d{309}")
_EMPTY = b"{}"
_NO_MEMBERS: dict[str, object] = {}
#: Integers up to this are exact as doubles.
_MAX_EXACT = 2.0**53

#: The decoded properties, traits and context of an event.
Documents: TypeAlias = tuple[object, object, object]


def decode_documents(properties: bytes, traits: bytes, context: bytes) -> Documents | Refusal:
    """Decode an event's documents, or return the first limit that one of them breaks.

    An empty document means {}. A whole number is an integer, however it is written.
    """
    is_large = len(properties) + len(traits) + len(context) > MAX_BYTES
    # One scan of all bytes costs less than one of each document. Most events have properties alone,
    # and no document as short as two empty ones breaks a limit.
    has_others = len(traits) + len(context) > 2 * len(_EMPTY)
    scanned = b"%b\n%b\n%b" % (properties, traits, context) if has_others else properties
    is_suspicious = is_large or _is_suspicious(scanned)
    decoded_properties = _decode_document("properties", properties, is_suspicious)
    if type(decoded_properties) is Refusal:
        return decoded_properties
    decoded_traits = _decode_document("traits", traits, is_suspicious)
    if type(decoded_traits) is Refusal:
        return decoded_traits
    decoded_context = _decode_document("context", context, is_suspicious)
    if type(decoded_context) is Refusal:
        return decoded_context
    return decoded_properties, decoded_traits, decoded_context


def member_of(document: bytes, name: str) -> object:
    """Return a member of a checked document; None where it is absent or null."""
    raw = _decode_members(document).get(name) if document else None
    return None if raw is None else _decode_value(raw)


def _decode_document(field: str, document: bytes, is_suspicious: bool) -> object:
    """Return the value of a document, which is an object, or the Refusal.

    `is_suspicious`: whether it, or another document of its event, may break a limit.
    """
    if not document or document == _EMPTY:
        return _NO_MEMBERS
    if len(document) > MAX_BYTES:
        return _too_large(field, f"has more than {MAX_BYTES} bytes")
    try:
        value = _decode(document)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _undecodable(field, document)
    if type(value) is not dict:
        return _not_an_object(field)
    if is_suspicious and _is_suspicious(document):
        return _walk(field, document) or value
    return value


def _undecodable(field: str, document: bytes) -> Refusal:
    """Return why a document cannot be decoded."""
    try:
        _skip(document)
    except (msgspec.DecodeError, RecursionError):
        return invalid_json(field, document)
    if not document.lstrip().startswith(b"{"):
        return _not_an_object(field)
    return _walk(field, document) or invalid_json(field, document)


def _not_an_object(field: str) -> Refusal:
    return Refusal("VALUE_INVALID", field, f"{field} must be a JSON object")


def _is_suspicious(document: bytes) -> bool:
    """Return whether a valid document, or one of several, may break a limit.

    True may be a false alarm. Lines separate several documents.
    """
    if len(document.translate(None, _NO_BRACKETS)) > MAX_DEPTH:
        return True
    if b"\\" in document and b"\\u0000" in document:
        return True
    if len(document) > _FEW_KEYS_BYTES and document.count(b":") > MAX_KEYS:
        return True
    numbers = document.translate(_NUMBERS)
    if _MANY_DIGITS in numbers or b"0e000" in numbers:
        return _HUGE_NUMBER.search(document) is not None
    return False


def _is_utf8(document: bytes) -> bool:
    if document.isascii():
        return True
    try:
        document.decode()
    except UnicodeDecodeError:
        return False
    return True


def invalid_json(field: str, document: bytes) -> Refusal:
    """Return why bytes are not JSON; the message names common causes such as NaN."""
    name = field or "the JSON"
    if document.count(b"{") + document.count(b"[") > MAX_DEPTH and _nests_too_deep(document):
        return _too_large(field, f"is nested deeper than {MAX_DEPTH} levels")
    if _SURROGATE.search(document):
        return Refusal("VALUE_INVALID", field, f"{name} holds half of a surrogate pair: remove it")
    if _NOT_A_NUMBER.search(document):
        message = f"{name} holds NaN or Infinity, which JSON does not have: send null or a string"
        return Refusal("VALUE_INVALID", field, message)
    if b"\0" in document:
        return Refusal("VALUE_INVALID", field, f"{name} holds a NUL character: remove it")
    return Refusal("JSON_INVALID", field, f"{name} must be valid JSON in UTF-8")


def _nests_too_deep(document: bytes) -> bool:
    try:
        _skip(document)
    except RecursionError:
        return True
    except msgspec.DecodeError:
        return False
    return False


def _walk(field: str, document: bytes) -> Refusal | None:
    if not _is_utf8(document):
        return Refusal("JSON_INVALID", field, f"{field} must be valid UTF-8")
    if _ENDLESS_DIGITS.search(document):
        return _huge_number(field)
    try:
        keys = _decode_members(document)
        value = _decode_value(document)
    except msgspec.DecodeError:  # only a huge number passes the skip and fails here
        return _huge_number(field)
    if len(keys) > MAX_KEYS:
        return _too_large(field, f"has more than {MAX_KEYS} keys")
    return _walk_value(field, value, 1)


def _walk_value(field: str, value: object, depth: int) -> Refusal | None:
    if isinstance(value, str):
        if "\0" in value:
            return Refusal("VALUE_INVALID", field, f"{field} holds a NUL character: remove it")
        return None
    if isinstance(value, int | float):
        return _huge_number(field) if _is_huge(value) else None
    if not isinstance(value, dict | list):
        return None
    if depth > MAX_DEPTH:
        return _too_large(field, f"is nested deeper than {MAX_DEPTH} levels")
    parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
    for part in parts:
        if refusal := _walk_value(field, part, depth + 1):
            return refusal
    return None


def _is_huge(number: float) -> bool:
    if isinstance(number, int):
        return not -MAX_NUMBER <= number <= MAX_NUMBER
    return not math.isfinite(number)


def _huge_number(field: str) -> Refusal:
    message = f"{field} holds a number beyond 2^63 or beyond a double: send it as a string"
    return Refusal("VALUE_INVALID", field, message)


def _too_large(field: str, problem: str) -> Refusal:
    message = f"{field or 'the JSON'} {problem}: send less"
    return Refusal("PROPERTIES_TOO_LARGE", field, message)
