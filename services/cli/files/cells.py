"""Reads single cells: the origin of one part of an event in a row."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any

from services.cli.files.json_rows import has_half_character, parse_json
from services.cli.files.numbers import NumberMarks, number_reader, read_marks, to_ascii
from services.cli.files.times import time_reader
from services.kernel.errors import InvalidField
from services.kernel.identifiers.model import is_placeholder
from services.kernel.time import to_rfc3339

#: The values of a row by column. Those of a CSV file are texts.
Row = Mapping[str, Any]

#: What dumps and spreadsheets write where there is no value; a mapping can name other words.
DEFAULT_NULLS = frozenset(
    {
        *("\\N", "#N/A", "#N/A N/A", "#NA", "#NULL!", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?"),
        *("#NUM!", "#SPILL!", "#CALC!", "#FIELD!", "#GETTING_DATA", "#BLOCKED!", "#CONNECT!"),
        *("#UNKNOWN!", "#BUSY!", "#ERROR!", "<NA>", "(null)", "<null>"),
    }
)
_CELL_KEYS = frozenset(
    {"column", "type", "format", "zone", "template", "value", "decimal", "thousands"}
)
_TRUE = frozenset({"true", "yes", "y", "1", "是", "t"})
_FALSE = frozenset({"false", "no", "n", "0", "否", "f"})
_HOLE = re.compile(r"\{([^{}]+)\}")
_NUMBERS = ("integer", "number")
#: Parts of an event by which it, a person or an account is known.
_NAMING = ("identifiers.", "message_id", "group_id")


class BadCell(Exception):
    """A cell that cannot be read; `reason` is a name of ErrorReason."""

    def __init__(self, field: str, message: str, reason: str = "VALUE_INVALID") -> None:
        super().__init__(message)
        self.field = field
        self.message = message
        self.reason = reason


@dataclass(frozen=True, slots=True)
class CellDefaults:
    """What a mapping says for all of its cells."""

    nulls: frozenset[str] = DEFAULT_NULLS
    marks: NumberMarks = field(default_factory=NumberMarks)
    zone: tzinfo | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """The origin of one part of an event; an empty cell has the value None."""

    read: Callable[[Row], Any]
    #: The columns that it reads.
    columns: tuple[str, ...] = ()
    #: `text`, `integer`, `number`, `boolean`, `json`, `time`, or empty.
    type: str = ""


def read_cell_form(path: str, form: Any, defaults: CellDefaults) -> Cell:
    """Return the cell of a YAML value. Raises InvalidField, which names the path."""
    if not isinstance(form, dict):
        return _constant(path, form)
    check_keys(path, form, _CELL_KEYS)
    origins = [key for key in ("column", "template", "value") if key in form]
    if not origins:
        raise InvalidField("name a column", field=f"{path}.column")
    if len(origins) > 1:
        raise InvalidField("write one of column, template and value", field=path)
    if origins == ["value"]:
        if len(form) > 1:
            raise InvalidField("a value is as it is written: write nothing beside it", field=path)
        return _constant(path, form["value"])
    columns, find = _origin(path, form, defaults.nulls)
    kind = _type_of(path, form)
    read = _reader(path, kind, form, defaults)

    def read_row(row: Row) -> Any:
        value = find(row)
        if value is None:
            return None
        try:
            return read(value)
        except (ValueError, TypeError, ArithmeticError) as error:
            reason = "TIME_INVALID" if kind == "time" else "VALUE_INVALID"
            raise BadCell(path, f"{path}: {error}", reason) from None

    return Cell(read_row, columns, kind)


def read_time_form(form: Any, defaults: CellDefaults) -> Cell:
    """Return the cell of the time of an event, in Unix microseconds. Raises InvalidField."""
    if not isinstance(form, dict):
        raise InvalidField("write {column: NAME}", field="time")
    check_keys("time", form, {"column", "template", "format", "zone"})
    if len(form.keys() & {"column", "template"}) != 1:
        raise InvalidField("write one of column and template", field="time")
    columns, find = _origin("time", form, defaults.nulls)
    read = time_reader("time", form, defaults.zone)

    def read_row(row: Row) -> int | None:
        value = find(row)
        if value is None:
            return None
        try:
            return read(value)
        except ValueError as error:
            raise BadCell("time", str(error), "TIME_INVALID") from None

    return Cell(read_row, columns, "time")


def text_of(path: str, cell: Cell, row: Row) -> str:
    """Return the text of a cell; empty where it has none. Raises BadCell."""
    value = cell.read(row)
    if value is None:
        return ""
    try:
        return _plain_text(value)
    except ValueError:
        reason = "IDENTIFIER_INVALID" if path.startswith("identifiers") else "VALUE_INVALID"
        raise BadCell(path, f"the cell of {path} must be a text", reason) from None


def check_keys(path: str, form: Mapping[Any, Any], allowed: Set[str]) -> None:
    """Raise InvalidField where a mapping has other keys than those that are allowed."""
    unknown = sorted(str(key) for key in form if key not in allowed)
    if unknown:
        raise InvalidField(
            f"unknown {unknown[0]!r}; known are {', '.join(sorted(allowed))}", field=path
        )


def column_value(row: Row, column: str) -> Any:
    """Return the value of a column; in JSON, `a.b` is `b` inside `a`."""
    if column in row or "." not in column:
        return row.get(column)
    outer, _, inner = column.partition(".")
    nested = row.get(outer)
    return column_value(nested, inner) if isinstance(nested, dict) else None


def _constant(path: str, value: Any) -> Cell:
    if has_half_character(value):
        raise InvalidField("the text has half a character", field=path)
    return Cell(lambda _: value)


def _origin(
    path: str, form: Mapping[str, Any], nulls: frozenset[str]
) -> tuple[tuple[str, ...], Callable[[Row], Any]]:
    """Return the columns, and what finds the value in a row: None where it is empty."""
    is_naming = path.startswith(_NAMING)
    if "template" in form:
        return _template(path, form["template"], nulls, is_naming=is_naming)
    column = form["column"]
    if not isinstance(column, str) or not column:
        raise InvalidField("name a column", field=f"{path}.column")
    if path != "message_id":
        return (column,), lambda row: _present(column_value(row, column), nulls)
    # A word for nothing would give many rows one id, and all but one of them would be lost.
    return (column,), lambda row: _naming(_present(column_value(row, column), nulls))


def _present(value: Any, nulls: frozenset[str]) -> Any:
    """Return a value, texts without outer spaces; None for an empty one."""
    if isinstance(value, str):
        value = value.strip()
        return None if not value or value in nulls else value
    return value


def _naming(value: Any) -> Any:
    """Return a value; None for a text that identifies no one. 0 and false are values here."""
    if not isinstance(value, str) or not value.strip("0") or value.lower() in _WORDS:
        return value
    return None if is_placeholder(value) else value


#: Values that are placeholders where they stand alone, and differ where they are parts.
_WORDS = frozenset({"true", "false"})


def _template(
    path: str, text: Any, nulls: frozenset[str], *, is_naming: bool
) -> tuple[tuple[str, ...], Callable[[Row], Any]]:
    if not isinstance(text, str) or not text:
        raise InvalidField("write a text with columns in braces", field=f"{path}.template")
    columns = tuple(_HOLE.findall(text))
    if not columns or set("{}") & set(_HOLE.sub("", text)):
        raise InvalidField(
            "write each column in one pair of braces, such as order-{number}",
            field=f"{path}.template",
        )

    def find(row: Row) -> str | None:
        parts: dict[str, str] = {}
        for column in columns:
            value = _present(column_value(row, column), nulls)
            value = _naming(value) if is_naming else value
            if value is None:
                return None  # a part of a name is none
            parts[column] = _part_text(path, value, is_naming=is_naming)
        return _HOLE.sub(lambda hole: parts[hole[1]], text)

    return columns, find


def _part_text(path: str, value: Any, *, is_naming: bool) -> str:
    """Return a value as a part of a text; one by which something is known is no fraction."""
    if isinstance(value, list | dict) or (isinstance(value, float) and is_naming):
        raise BadCell(path, f"a column of {path} is not a text")
    return value if isinstance(value, str) else json.dumps(value)


def _type_of(path: str, form: Mapping[str, Any]) -> str:
    kind = form.get("type", "")
    if "type" in form and (not isinstance(kind, str) or kind not in _TYPES):
        raise InvalidField(f"write one of {', '.join(_TYPES)}", field=f"{path}.type")
    for key, kinds in (("format", ("time",)), ("zone", ("time",))):
        if key in form and kind not in kinds:
            raise InvalidField("this is for `type: time` only", field=f"{path}.{key}")
    for key in ("decimal", "thousands"):
        if key in form and kind not in _NUMBERS:
            raise InvalidField(
                "this is for `type: number` and `type: integer` only", field=f"{path}.{key}"
            )
    return str(kind)


def _reader(
    path: str, kind: str, form: Mapping[str, Any], defaults: CellDefaults
) -> Callable[[Any], Any]:
    if kind == "time":
        read_time = time_reader(path, form, defaults.zone)
        return lambda value: to_rfc3339(read_time(value))
    if kind in _NUMBERS:
        marks = defaults.marks
        if "decimal" in form or "thousands" in form:
            decimal = form.get("decimal", marks.decimal)
            marks = read_marks(path, decimal, form.get("thousands", marks.thousands))
        return number_reader(marks, whole=kind == "integer")
    return _READERS[kind]


def _boolean(value: Any) -> bool:
    word = to_ascii(str(value)).lower()
    if word not in _TRUE and word not in _FALSE:
        raise ValueError("it is neither true nor false")
    return word in _TRUE


def _json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except ValueError as error:
        raise ValueError(f"this is not JSON: {error}") from None


def _plain_text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool | int):
        return json.dumps(value)
    raise ValueError("it is not a text")


_READERS: dict[str, Callable[[Any], Any]] = {
    "": lambda value: value,
    "text": _plain_text,
    "boolean": _boolean,
    "json": _json,
}
_TYPES = ("text", *_NUMBERS, "boolean", "json", "time")
