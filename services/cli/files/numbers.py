"""Reads numbers as they are written: no mark is dropped, and none changes its meaning."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from services.kernel.errors import InvalidField

_DECIMAL_MARKS = (".", ",")
_THOUSANDS_MARKS = (",", ".", "'", " ")
#: Spaces of any width and the typographic apostrophe are written for the plain ones.
_SAME = str.maketrans({"\u2019": "'", "\u2212": "-"})
_DIGITS = r"[0-9]"
#: Larger integers are rejected by the endpoints.
MAX_INTEGER = 2**63


@dataclass(frozen=True, slots=True)
class NumberMarks:
    """The marks in the numbers of a file."""

    decimal: str = "."
    #: Empty = digits are not grouped.
    thousands: str = ""


def read_marks(path: str, decimal: object, thousands: object) -> NumberMarks:
    """Return the marks that a mapping names. Raises InvalidField."""
    prefix = f"{path}." if path else ""
    if decimal not in _DECIMAL_MARKS:
        raise InvalidField('write "." or ","', field=f"{prefix}decimal")
    if thousands not in ("", *_THOUSANDS_MARKS) or thousands == decimal:
        raise InvalidField(
            "write ',', '.', \"'\" or ' ', and not the decimal mark", field=f"{prefix}thousands"
        )
    return NumberMarks(str(decimal), str(thousands))


def number_reader(marks: NumberMarks, *, whole: bool) -> Callable[[Any], int | float]:
    """Return what reads a number, or a whole number, from a cell. It raises ValueError."""

    def read(value: Any) -> int | float:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError("it is not a number")
        if isinstance(value, str):
            value = _parse(value, marks)
        return _as_whole(value) if whole else _as_number(value)

    return read


def to_ascii(text: str) -> str:
    """Return a text with the plain form of digits and signs that are wider or narrower."""
    if text.isascii():
        return text.strip()
    return unicodedata.normalize("NFKC", text).translate(_SAME).strip()


def _parse(text: str, marks: NumberMarks) -> int | Decimal:
    text = to_ascii(text)
    if not _form(marks).fullmatch(text):
        raise ValueError(_advice(text, marks))
    if marks.thousands:
        text = text.replace(marks.thousands, "")
    text = text.replace(marks.decimal, ".")
    return Decimal(text) if len(text) <= 400 else _too_long()


def _too_long() -> Decimal:
    raise ValueError("it has too many digits")


def _advice(text: str, marks: NumberMarks) -> str:
    if re.fullmatch(r"[-+]?[0-9][0-9.,' ]*", text) and any(mark in text for mark in ",.' "):
        return (
            "its marks are not those of the mapping: write `decimal` and `thousands` there, such "
            'as `decimal: ","`'
        )
    return "it is not a number"


@lru_cache(maxsize=64)
def _form(marks: NumberMarks) -> re.Pattern[str]:
    digits = f"{_DIGITS}+"
    if marks.thousands:
        mark = re.escape(marks.thousands)
        digits = f"(?:{_DIGITS}{{1,3}}(?:{mark}{_DIGITS}{{3}})+|{digits})"
    fraction = f"(?:{re.escape(marks.decimal)}{_DIGITS}+)?"
    return re.compile(f"[-+]?{digits}{fraction}(?:[eE][-+]?{_DIGITS}{{1,3}})?")


def _as_whole(value: int | float | Decimal) -> int:
    if isinstance(value, int):
        number = value
    elif _is_whole(value):
        number = int(value)
    else:
        raise ValueError("it is not a whole number")
    if abs(number) >= MAX_INTEGER:
        raise ValueError("it has too many digits for a number: write `type: text`")
    return number


def _as_number(value: int | float | Decimal) -> int | float:
    """Return a double, or an integer where no double is as exact."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or (number == 0 and value != 0):
        raise ValueError("it is beyond the numbers of a double")
    if abs(number) >= 2**53 and number != value and _is_whole(value):
        return _as_whole(value)
    return number


def _is_whole(value: int | float | Decimal) -> bool:
    if isinstance(value, Decimal):
        return value == value.to_integral_value()
    return float(value).is_integer()
