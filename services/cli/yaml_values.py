"""Values out of YAML in the shape they must have; what is wrong is told with its place.

Every function raises InvalidField. `place` is where a mapping stands, such as `segments[0]`.
"""

from __future__ import annotations

from typing import Any

from services.kernel.errors import InvalidField

#: YAML 1.1 reads a bare `on` as true; both spellings mean the same key.
ON = "on"


def mapping(value: Any, place: str, known: set[str] | None = None) -> dict[str, Any]:
    """A mapping; with `known`, of no other keys."""
    if not isinstance(value, dict):
        raise InvalidField(f"{place or 'file'}: write a mapping of names to values", field=place)
    shaped = {ON if key is True else key: v for key, v in value.items()}
    strange = sorted(str(key) for key in shaped if known is not None and key not in known)
    if strange:
        wanted = ", ".join(sorted(known or ()))
        raise InvalidField(f"{place or 'file'}: unknown {strange[0]!r}; known: {wanted}")
    return shaped


def text(told: dict[str, Any], key: str, place: str, *, required: bool = False) -> str:
    """A text; empty where there is none."""
    value = told.get(key, "")
    if not isinstance(value, str) or (required and not value):
        raise InvalidField(f"{place}.{key}: write a text", field=f"{place}.{key}")
    return value


def texts(told: dict[str, Any], key: str, place: str) -> list[str]:
    """A list of texts; empty where there is none."""
    value = told.get(key, [])
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise InvalidField(f"{place}.{key}: write a list of texts", field=f"{place}.{key}")
    return value


def entries(told: dict[str, Any], key: str, place: str) -> list[Any]:
    """A list of anything; empty where there is none."""
    value = told.get(key, [])
    if not isinstance(value, list):
        raise InvalidField(f"{place}.{key}: write a list", field=f"{place}.{key}")
    return value


def flag(told: dict[str, Any], key: str, place: str) -> bool:
    """True or false; false where it is not said."""
    value = told.get(key, False)
    if not isinstance(value, bool):
        raise InvalidField(f"{place}.{key}: write true or false", field=f"{place}.{key}")
    return value


def count(told: dict[str, Any], key: str, place: str) -> int:
    """A whole number from 0 on; 0 where it is not said."""
    value = told.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise InvalidField(
            f"{place}.{key}: write a whole number, 0 or more", field=f"{place}.{key}"
        )
    return value
