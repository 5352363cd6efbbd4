"""Writes the value of a trait in one canonical form, however its sender wrote it."""

from __future__ import annotations

import math

import msgspec

#: Integers up to this are exact as doubles.
_MAX_EXACT = 2.0**53


def _read_number(text: str) -> float:
    """Return a number with a point or an exponent; an integer where it is a whole one.

    Raises ValueError where it is beyond every double.
    """
    number = float(text)
    if math.isinf(number):
        raise ValueError("the number is too large")
    return int(number) if number.is_integer() and abs(number) <= _MAX_EXACT else number


_decode = msgspec.json.Decoder(float_hook=_read_number).decode
_encode = msgspec.json.Encoder(order="deterministic").encode
#: The first bytes of true, false and null.
_WORDS = b"tfn"


def canonical_value(json: bytes) -> bytes:
    """Return a JSON value without blanks and needless escapes, with its members in order.

    A whole number is an integer. Equal values have equal bytes, so a state does not depend on
    which of two repeats of an event arrived first, nor on the door it came through. Bytes that
    are no valid value are returned as they are.
    """
    first = json[:1]
    if first == b'"':
        if b"\\" not in json:
            return json
    elif first in _WORDS or json.isdigit():
        return json
    try:
        return _encode(_decode(json))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError, ValueError):
        return json
