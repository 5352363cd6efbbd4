"""Maps the rows of a file to events, without I/O.

A mapping names the origin of each part of an event: a text or number that is the same in every row,
or one of::

    {column: NAME, type: text | integer | number | boolean | json | time}
    {template: "order-{number}"}      columns in braces
    {value: ANYTHING}

The part of an empty cell is left out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from onefold.type.v1 import event_pb2
from onefold.type.v1.identifier_pb2 import Identifier

from services.kernel.errors import InvalidField
from services.kernel.time import to_rfc3339, to_us

#: The values of a row by column. Those of a CSV file are texts.
Row = Mapping[str, Any]

TYPES: dict[str, Any] = {
    name.removeprefix("EVENT_TYPE_").lower(): number
    for name, number in event_pb2.EventType.items()
    if number
}
#: The parts of an event that are one text, and those that are values by name.
_TEXTS = ("type", "event", "message_id", "channel", "group_id")
_GROUPS = ("identifiers", "properties", "traits", "context")
_KEYS = frozenset({*_TEXTS, *_GROUPS, "time", "encoding", "delimiter"})
_CELL_KEYS = frozenset({"column", "type", "format", "zone", "template", "value"})
_TRUE = frozenset({"true", "yes", "y", "1", "是", "t"})
_FALSE = frozenset({"false", "no", "n", "0", "否", "f"})
_HOLE = re.compile(r"\{([^{}]+)\}")
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})")
_EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}


class BadCell(Exception):
    """A cell that cannot be read; `reason` is a name of ErrorReason."""

    def __init__(self, field: str, message: str, reason: str = "VALUE_INVALID") -> None:
        super().__init__(message)
        self.field = field
        self.message = message
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Cell:
    """The origin of one part of an event."""

    read: Callable[[Row], Any]
    #: The columns that it reads.
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileMapping:
    """The origins of all parts of an event."""

    #: By part, such as `message_id`; `type` is always there.
    texts: Mapping[str, Cell]
    time: Cell | None
    #: By part, such as `traits`, and by the name in it.
    groups: Mapping[str, Mapping[str, Cell]]
    #: `auto`, or a name such as `utf-8` and `gb18030`.
    encoding: str = "auto"
    delimiter: str = ","

    def columns(self) -> set[str]:
        """Return every column that a row must have."""
        cells = [cell for part in (self.texts, *self.groups.values()) for cell in part.values()]
        if self.time:
            cells.append(self.time)
        return {column for cell in cells for column in cell.columns}

    def to_event(self, row: Row, default_id: Callable[[], str]) -> event_pb2.Event:
        """Return the event of a row; `default_id` gives its message id where the mapping does not.

        Raises BadCell.
        """
        kind = _text("type", self.texts["type"], row)
        if kind not in TYPES:
            raise BadCell("type", f"{kind!r} is not one of {', '.join(TYPES)}", "NOT_AN_EVENT")
        return event_pb2.Event(
            type=TYPES[kind],
            name=self._text("event", row),
            message_id=self._text("message_id", row) or default_id(),
            identifiers=[
                Identifier(namespace=namespace, value=value)
                for namespace, cell in self.groups["identifiers"].items()
                if (value := _text(f"identifiers.{namespace}", cell, row))
            ],
            occurred_at_us=_instant(self.time, row),
            properties=self._document("properties", row),
            traits=self._document("traits", row),
            context=self._document("context", row),
            channel=self._text("channel", row),
            group_id=self._text("group_id", row),
        )

    def _text(self, part: str, row: Row) -> str:
        return _text(part, self.texts[part], row) if part in self.texts else ""

    def _document(self, part: str, row: Row) -> bytes:
        cells = self.groups[part].items()
        values = {name: value for name, cell in cells if (value := cell.read(row)) is not None}
        try:
            return msgspec.json.encode(values) if values else b""
        except (TypeError, ValueError, OverflowError):
            raise BadCell(part, f"{part} cannot be written as JSON") from None


def read_mapping(document: Any) -> FileMapping:
    """Return the mapping of a YAML document. Raises InvalidField, which names the path."""
    if not isinstance(document, dict):
        raise InvalidField("a mapping is a YAML mapping of parts of an event to columns")
    _check_keys("", document, _KEYS)
    if not isinstance(document.get("identifiers"), dict) or not document["identifiers"]:
        raise InvalidField("name at least one identifier", field="identifiers")
    document = {"type": "track", **document}
    kind = document["type"]
    if isinstance(kind, str) and kind not in TYPES:
        raise InvalidField(f"write one of {', '.join(TYPES)}", field="type")
    if kind == "track" and "event" not in document:
        raise InvalidField("a track needs the name of its event", field="event")
    return FileMapping(
        texts={name: _cell(name, document[name]) for name in _TEXTS if name in document},
        time=_time_cell(document.get("time")),
        groups={name: _cells(name, document) for name in _GROUPS},
        encoding=str(document.get("encoding", "auto")),
        delimiter=_delimiter(document.get("delimiter", ",")),
    )


def _delimiter(value: object) -> str:
    if not isinstance(value, str) or len(value) != 1:
        raise InvalidField("write one character", field="delimiter")
    return value


def _cells(name: str, document: Mapping[str, Any]) -> dict[str, Cell]:
    part = document.get(name, {})
    if not isinstance(part, dict):
        raise InvalidField("write a mapping of names to columns", field=name)
    return {str(key): _cell(f"{name}.{key}", cell) for key, cell in part.items()}


def _cell(path: str, form: Any) -> Cell:
    if not isinstance(form, dict):
        return Cell(lambda _: form)
    _check_keys(path, form, _CELL_KEYS)
    if "value" in form:
        value = form["value"]
        return Cell(lambda _: value)
    if "template" in form:
        return _template(str(form["template"]))
    column = _column(path, form)
    kind = form.get("type")
    if kind == "time":
        read_time = _time_reader(path, form)
        return Cell(lambda row: _rfc3339(read_time(_column_value(row, column))), (column,))
    if kind is not None and kind not in _READERS:
        raise InvalidField(f"write one of time, {', '.join(_READERS)}", field=f"{path}.type")
    read = _READERS.get(str(kind), _unchanged)
    return Cell(lambda row: _read_cell(path, read, _column_value(row, column)), (column,))


def _column_value(row: Row, column: str) -> Any:
    """Return the value of a column; in JSON, `a.b` is `b` inside `a`."""
    if column in row or "." not in column:
        return row.get(column)
    outer, _, inner = column.partition(".")
    nested = row.get(outer)
    return _column_value(nested, inner) if isinstance(nested, dict) else None


def _template(text: str) -> Cell:
    columns = tuple(_HOLE.findall(text))

    def read(row: Row) -> str:
        return _HOLE.sub(lambda hole: str(_column_value(row, hole[1]) or ""), text)

    return Cell(read, columns)


def _time_cell(form: Any) -> Cell | None:
    if form is None:
        return None
    if not isinstance(form, dict):
        raise InvalidField("write {column: NAME}", field="time")
    _check_keys("time", form, {"column", "format", "zone"})
    column, read = _column("time", form), _time_reader("time", form)
    return Cell(lambda row: read(_column_value(row, column)), (column,))


def _time_reader(path: str, form: Mapping[str, Any]) -> Callable[[Any], int | None]:
    time_format, zone = form.get("format"), _zone(path, form.get("zone", "UTC"))

    def read(value: Any) -> int | None:
        if value is None or str(value).strip() == "":
            return None
        try:
            return _read_time(str(value).strip(), time_format, zone)
        except (ValueError, OverflowError):
            expected = time_format or "RFC 3339, such as 2026-11-21T20:17:09+08:00"
            raise BadCell(path, f"the time cannot be read as {expected}", "TIME_INVALID") from None

    return read


def _read_time(text: str, time_format: str | None, zone: tzinfo) -> int:
    if time_format in _EPOCHS:
        unit_us = _EPOCHS[time_format]
        return int(float(text) * unit_us) if "." in text else int(text) * unit_us
    if time_format:
        instant = datetime.strptime(text, time_format)
    elif "T" not in text.upper() and " " not in text:
        raise ValueError("a date without a time of day")
    else:
        instant = datetime.fromisoformat(text)
    return to_us(instant if instant.tzinfo else instant.replace(tzinfo=zone))


def _zone(path: str, name: object) -> tzinfo:
    if found := _OFFSET.fullmatch(str(name)):
        span = timedelta(hours=int(found[2]), minutes=int(found[3]))
        return timezone(span if found[1] == "+" else -span)
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(str(name))
    except (KeyError, ValueError, OSError):
        raise InvalidField(
            "this machine does not know the time zone; write one such as +08:00",
            field=f"{path}.zone",
        ) from None


def _column(path: str, form: Mapping[str, Any]) -> str:
    column = form.get("column")
    if not isinstance(column, str) or not column:
        raise InvalidField("name a column", field=f"{path}.column")
    return column


def _check_keys(path: str, form: Mapping[Any, Any], allowed: Set[str]) -> None:
    unknown = sorted(str(key) for key in form if key not in allowed)
    if unknown:
        raise InvalidField(
            f"unknown {unknown[0]!r}; known are {', '.join(sorted(allowed))}", field=path
        )


def _read_cell(path: str, read: Callable[[Any], Any], value: Any) -> Any:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        return read(value)
    except (ValueError, TypeError, OverflowError):
        raise BadCell(path, f"the cell of {path} is not of its type") from None


def _unchanged(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError("not an integer")
    return int(value) if not isinstance(value, str) else int(value.strip().replace(",", ""))


def _number(value: Any) -> float:
    number = float(value.strip().replace(",", "")) if isinstance(value, str) else float(value)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _boolean(value: Any) -> bool:
    word = str(value).strip().lower()
    if word not in _TRUE and word not in _FALSE:
        raise ValueError("neither true nor false")
    return word in _TRUE


def _json(value: Any) -> Any:
    return parse_json(value) if isinstance(value, str) else value


def parse_json(text: str) -> Any:
    """Return the value of a JSON text. Raises ValueError, also for NaN and Infinity."""
    return json.loads(text, parse_constant=_reject_constant)


def _reject_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _as_plain_text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool | int):
        return json.dumps(value)
    raise ValueError("not a text")


_READERS: dict[str, Callable[[Any], Any]] = {
    "text": _as_plain_text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "json": _json,
}


def _rfc3339(us: int | None) -> str | None:
    return None if us is None else to_rfc3339(us)


def _text(path: str, cell: Cell, row: Row) -> str:
    value = cell.read(row)
    if value is None:
        return ""
    if isinstance(value, float | list | dict):
        reason = "IDENTIFIER_INVALID" if path.startswith("identifiers") else "VALUE_INVALID"
        raise BadCell(path, f"the cell of {path} must be a text", reason)
    return _as_plain_text(value)


def _instant(cell: Cell | None, row: Row) -> int:
    """Return Unix microseconds; 0 where there is no time."""
    us = cell.read(row) if cell else None
    # In the protos 0 means that there is no time; a cell of 1970 has to be rejected as too old.
    return 0 if us is None else us or 1
