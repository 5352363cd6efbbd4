"""What may stand in a JSON object that travels with an event (properties, traits, context).

A document is checked without being built: msgspec skips through it and so proves its form, and a
scan of the bytes decides whether anything in it deserves a closer look. Only a document that looks
suspicious is decoded and walked.
"""

from __future__ import annotations

import math
import re

import msgspec

from services.ingest.domain.model import Refusal

MAX_BYTES = 32 * 1024
MAX_KEYS = 255
MAX_DEPTH = 20
MAX_NUMBER = 2**63

#: No JSON object shorter than this has more than MAX_KEYS keys (`"":1,` is 5 bytes).
_FEW_KEYS_BYTES = 5 * MAX_KEYS
_skip = msgspec.json.Decoder(msgspec.Raw).decode
_top_level = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_everything = msgspec.json.Decoder().decode
#: Digits and + become 0, E becomes e: so a big number, or a big exponent, is a plain substring.
_NUMBERS = bytes.maketrans(b"123456789+E", b"0000000000e")
_MANY_DIGITS = b"0" * 19
#: Where such digits are a number and no part of a text such as a UUID.
_HUGE_NUMBER = re.compile(rb"[:,\[\s]-?(?:[\d.]{19}|[\d.]+[eE]\+?\d{3})")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_NOT_A_NUMBER = re.compile(rb"[:\[,]\s*-?(NaN|Infinity)")
#: Too many digits for Python to make a number of.
_ENDLESS_DIGITS = re.compile(rb"\d{309}")
_BRACE = ord("{")
_EMPTY = b"{}"


def documents_fault(
    properties: bytes = b"", traits: bytes = b"", context: bytes = b""
) -> Refusal | None:
    """What is wrong with any of the documents of one event; None where nothing is.

    An empty document stands for {}.
    """
    fault = None
    if properties and properties != _EMPTY:
        fault = _fault("properties", properties)
    if fault is None and traits and traits != _EMPTY:
        fault = _fault("traits", traits)
    if fault is None and context and context != _EMPTY:
        fault = _fault("context", context)
    return fault


def member_of(document: bytes, name: str) -> object:
    """A member of a document without a fault; None where it is absent or null."""
    raw = _top_level(document).get(name) if document else None
    return None if raw is None else _everything(raw)


def _fault(field: str, document: bytes) -> Refusal | None:
    if len(document) > MAX_BYTES:
        return _too_large(field, f"has more than {MAX_BYTES} bytes")
    try:
        _skip(document)
    except (msgspec.DecodeError, RecursionError):
        return malformed(field, document)
    if document[0] != _BRACE and document.lstrip()[:1] != b"{":
        return Refusal("VALUE_INVALID", field, f"{field} must be a JSON object")
    if _is_suspicious(document) or not _is_utf8(document):
        return _walk(field, document)
    return None


def _is_suspicious(joined: bytes) -> bool:
    """Whether there may be a fault that skipping does not find; wrong only in saying yes."""
    if joined.count(b"{") + joined.count(b"[") > MAX_DEPTH:
        return True
    if b"\\" in joined and b"\\u0000" in joined:
        return True
    if len(joined) > _FEW_KEYS_BYTES and joined.count(b":") > MAX_KEYS:
        return True
    numbers = joined.translate(_NUMBERS)
    if _MANY_DIGITS in numbers or b"0e000" in numbers:
        return _HUGE_NUMBER.search(joined) is not None
    return False


def _is_utf8(document: bytes) -> bool:
    if document.isascii():
        return True
    try:
        document.decode()
    except UnicodeDecodeError:
        return False
    return True


def malformed(field: str, document: bytes) -> Refusal:
    """Why something is no JSON; what is nearly JSON is named by its true fault."""
    named = field or "the JSON"
    if document.count(b"{") + document.count(b"[") > MAX_DEPTH and _nests_too_deep(document):
        return _too_large(field, f"is nested deeper than {MAX_DEPTH} levels")
    if _SURROGATE.search(document):
        return Refusal("VALUE_INVALID", field, f"{named} holds half of a surrogate pair")
    if _NOT_A_NUMBER.search(document):
        return Refusal("VALUE_INVALID", field, f"{named} holds NaN or Infinity, which JSON has not")
    if b"\0" in document:
        return Refusal("VALUE_INVALID", field, f"{named} holds a NUL character")
    return Refusal("JSON_INVALID", field, f"{named} is not valid JSON in UTF-8")


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
        return Refusal("JSON_INVALID", field, f"{field} is not valid UTF-8")
    if _ENDLESS_DIGITS.search(document):
        return _huge(field)
    try:
        keys = _top_level(document)
        value = _everything(document)
    except msgspec.DecodeError:  # skipping has found no other fault
        return _huge(field)
    if len(keys) > MAX_KEYS:
        return _too_large(field, f"has more than {MAX_KEYS} keys")
    return _value_fault(field, value, 1)


def _value_fault(field: str, value: object, depth: int) -> Refusal | None:
    if isinstance(value, str):
        if "\0" in value:
            return Refusal("VALUE_INVALID", field, f"{field} holds a NUL character")
        return None
    if isinstance(value, int | float):
        return _huge(field) if _is_huge(value) else None
    if not isinstance(value, dict | list):
        return None
    if depth > MAX_DEPTH:
        return _too_large(field, f"is nested deeper than {MAX_DEPTH} levels")
    parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
    for part in parts:
        if fault := _value_fault(field, part, depth + 1):
            return fault
    return None


def _is_huge(number: float) -> bool:
    if isinstance(number, int):
        return not -MAX_NUMBER <= number <= MAX_NUMBER
    return not math.isfinite(number)


def _huge(field: str) -> Refusal:
    return Refusal(
        "VALUE_INVALID",
        field,
        f"{field} holds a number beyond 2^63 or beyond a double; send it as a string",
    )


def _too_large(field: str, what: str) -> Refusal:
    return Refusal("PROPERTIES_TOO_LARGE", field, f"{field or 'the JSON'} {what}")
