"""Numbers of the treaty as the words that people write: EVIDENCE_KIND_CO_OBSERVED is `beside`."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from services.kernel.errors import InvalidField


def word_of(enum: Any, prefix: str, value: int) -> str:
    """The word of a value."""
    return str(enum.Name(value).removeprefix(prefix).lower())


def value_of(enum: Any, prefix: str, word: str, place: str, *, but: Container[str] = ()) -> Any:
    """The value of a word; those in `but` cannot be written. Raises InvalidField."""
    words = [word_of(enum, prefix, told.number) for told in enum.DESCRIPTOR.values if told.number]
    known = [w for w in words if w not in but]
    if word not in known:
        raise InvalidField(f"{place}: unknown {word!r}; write {', '.join(known)}", field=place)
    return enum.Value(prefix + word.upper())
