"""Checks values that users write, in YAML or options, and returns them with their types.

Every function of a value raises InvalidField, which names its path. `path` is the path of the
mapping that holds it, such as `segments[0]`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from services.kernel.errors import InvalidField
from services.kernel.time import DAY_US, parse_rfc3339, parse_span


class Mistakes(InvalidField):
    """A text is wrong at several places. It is the first mistake, and has all of them."""

    def __init__(self, mistakes: Iterable[InvalidField]) -> None:
        self.mistakes = list(mistakes)
        super().__init__(self.mistakes[0].message, field=self.mistakes[0].field)


def mistakes_of(error: InvalidField) -> list[InvalidField]:
    """Return all mistakes that an error has."""
    return error.mistakes if isinstance(error, Mistakes) else [error]


class MistakeCollector:
    """Collects the mistakes of parts, so that all are reported at once."""

    def __init__(self) -> None:
        self._found: list[InvalidField] = []

    @contextmanager
    def part(self) -> Iterator[None]:
        """Read one part; a mistake ends it, and not the others."""
        try:
            yield
        except InvalidField as error:
            self._found += mistakes_of(error)

    def check(self) -> None:
        """Raise Mistakes where any part was wrong."""
        if self._found:
            raise Mistakes(self._found)


def mapping(value: Any, path: str, allowed: set[str] | None = None) -> dict[str, Any]:
    """Return a mapping; `allowed` names the keys that it may have, None = any."""
    where = path or "file"
    if not isinstance(value, dict):
        raise InvalidField(f"{where}: write a mapping of names to values", field=path)
    unknown = sorted(str(key) for key in value if allowed is not None and key not in allowed)
    if unknown:
        known = ", ".join(sorted(allowed or ()))
        field = f"{path}.{unknown[0]}" if path else unknown[0]
        raise InvalidField(f"{where}: unknown {unknown[0]!r}; known: {known}", field=field)
    return value


def text(values: dict[str, Any], key: str, path: str, *, required: bool = False) -> str:
    """Return a text; empty where it is missing."""
    value = values.get(key, "")
    if not isinstance(value, str) or (required and not value):
        raise _wrong(path, key, "write a text")
    return value


def texts(values: dict[str, Any], key: str, path: str) -> list[str]:
    """Return a list of texts; empty where it is missing."""
    value = values.get(key, [])
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise _wrong(path, key, "write a list of texts")
    return value


def entries(values: dict[str, Any], key: str, path: str) -> list[Any]:
    """Return a list of anything; empty where it is missing."""
    value = values.get(key, [])
    if not isinstance(value, list):
        raise _wrong(path, key, "write a list")
    return value


def flag(values: dict[str, Any], key: str, path: str) -> bool:
    """Return true or false; false where it is missing."""
    value = values.get(key, False)
    if not isinstance(value, bool):
        raise _wrong(path, key, "write true or false")
    return value


def count(values: dict[str, Any], key: str, path: str) -> int:
    """Return a whole number of at least 0; 0 where it is missing."""
    value = values.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise _wrong(path, key, "write a whole number, 0 or more")
    return value


def days(values: dict[str, Any], key: str, path: str) -> int:
    """Return the days of a span such as `30d`; 0 where it is missing."""
    span = text(values, key, path)
    if not span:
        return 0
    try:
        found, rest = divmod(parse_span(span), DAY_US)
    except ValueError as error:
        raise _wrong(path, key, str(error)) from None
    if rest or found > 36_525:
        raise _wrong(path, key, "write whole days, such as 180d, and at most 36525d")
    return found


def instant_of(value: str, option: str) -> int:
    """Return the instant that an option names, Unix microseconds; 0 where it is empty."""
    try:
        return parse_rfc3339(value) if value else 0
    except ValueError:
        raise InvalidField("write an instant such as 2026-11-21T08:30:00Z", field=option) from None


def word_of(enum: Any, prefix: str, value: int) -> str:
    """Return the word of an enum's value, such as `co_observed`: its name without `prefix`."""
    return str(enum.Name(value).removeprefix(prefix).lower())


def value_of(enum: Any, prefix: str, word: str, path: str, *, but: Container[str] = ()) -> Any:
    """Return the enum's value of a word; the words in `but` are refused. `path`: of the word."""
    words = [word_of(enum, prefix, value) for value in enum.values() if value]
    allowed = [each for each in words if each not in but]
    if word not in allowed:
        raise InvalidField(f"{path}: unknown {word!r}; write {', '.join(allowed)}", field=path)
    return enum.Value(prefix + word.upper())


def set_fields(**fields: Any) -> dict[str, Any]:
    """Return the fields that have a value, in their order."""
    return {name: value for name, value in fields.items() if value}


def _wrong(path: str, key: str, advice: str) -> InvalidField:
    return InvalidField(f"{path}.{key}: {advice}", field=f"{path}.{key}")
