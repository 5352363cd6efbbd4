"""Makes cells of the values that a database returns, as a mapping reads those of a file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any


def to_cell(value: Any) -> Any:
    """Return a value as JSON has it: exact, or else as a text.

    A number with decimals is a number where a double represents it, a time is in RFC 3339 with the
    zone that the database states, and bytes are hexadecimal.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, list | tuple):
        return [to_cell(each) for each in value]
    return str(value)


def to_row(columns: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """Return the cells of a row by column."""
    return {name: to_cell(value) for name, value in zip(columns, values, strict=True)}


def _number(value: Decimal) -> int | float | str:
    if not value.is_finite():
        return str(value)
    # A column without decimals has integers, which may be ids of more digits than a double has.
    if value == value.to_integral_value() and "." not in str(value):
        return int(value)
    number = float(value)
    return number if Decimal(repr(number)) == value else format(value, "f")
