"""Translates protobuf enums to the words that people write, such as `co_observed`."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from services.kernel.errors import InvalidField


def word_of(enum: Any, prefix: str, value: int) -> str:
    """Return the word of a value: its name in lower case without `prefix`."""
    return str(enum.Name(value).removeprefix(prefix).lower())


def value_of(enum: Any, prefix: str, word: str, path: str, *, but: Container[str] = ()) -> Any:
    """Return the value of a word; the words in `but` are refused.

    Raises InvalidField, which names `path`.
    """
    words = [word_of(enum, prefix, value) for value in enum.values() if value]
    allowed = [each for each in words if each not in but]
    if word not in allowed:
        raise InvalidField(f"{path}: unknown {word!r}; write {', '.join(allowed)}", field=path)
    return enum.Value(prefix + word.upper())
