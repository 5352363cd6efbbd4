"""Reads JSON as values that an event can have, and rejects what JSON does not know."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises ValueError for NaN and Infinity, a number beyond a double, a key written twice, half a
    character, and values that are nested too deeply.
    """
    try:
        value = json.loads(
            text,
            parse_constant=_reject_constant,
            parse_float=_finite,
            object_pairs_hook=_without_repeats,
        )
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None
    except json.JSONDecodeError:
        raise ValueError("it cannot be parsed") from None
    if "\\u" in text and has_half_character(value):
        raise ValueError("it has half a character, such as \\ud83d without the other half")
    return value


def has_half_character(value: Any) -> bool:
    """Return whether any text in a value has a surrogate, which no UTF-8 has."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _reject_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("it has a number that is too large")
    return number


def _without_repeats(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError("it has a key twice in one object")
        members[name] = value
    return members
