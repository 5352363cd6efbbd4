"""How the rows of a file become events. Pure: rows in, events or reasons out.

A mapping says for each part of an event where it is taken from: a text or number that is the same
in every row, or one of::

    {column: NAME, type: text | integer | number | boolean | json | time}
    {template: "order-{number}"}      columns in braces
    {value: ANYTHING}

An empty cell says nothing: the part is left out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from onefold.type.v1 import event_pb2
from onefold.type.v1.identifier_pb2 import Identifier

from services.kernel.errors import InvalidField
from services.kernel.time import to_rfc3339, to_us

#: A row: the values of its columns. Those of a CSV file are texts.
Row = Mapping[str, Any]

TYPES: dict[str, Any] = {
    name.removeprefix("EVENT_TYPE_").lower(): number
    for name, number in event_pb2.EventType.items()
    if number
}
_KEYS = frozenset(
    {
        *("type", "event", "message_id", "time", "channel", "group_id", "identifiers"),
        *("properties", "traits", "context", "encoding", "delimiter"),
    }
)
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
    """Where one part of an event is taken from."""

    read: Callable[[Row], Any]
    #: The columns that it needs.
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileMapping:
    """How rows become events."""

    type: Cell
    event: Cell | None
    message_id: Cell | None
    time: Cell | None
    channel: Cell | None
    group_id: Cell | None
    identifiers: Mapping[str, Cell]
    properties: Mapping[str, Cell]
    traits: Mapping[str, Cell]
    context: Mapping[str, Cell]
    #: `auto`, or a name such as `utf-8` and `gb18030`.
    encoding: str = "auto"
    delimiter: str = ","

    def columns(self) -> set[str]:
        """Every column that a row needs."""
        single = (self.type, self.event, self.message_id, self.time, self.channel, self.group_id)
        many = (self.identifiers, self.properties, self.traits, self.context)
        cells = [*filter(None, single), *(cell for part in many for cell in part.values())]
        return {column for cell in cells for column in cell.columns}

    def to_event(self, row: Row, own_id: Callable[[], str]) -> event_pb2.Event:
        """The event of a row; `own_id` names it where the mapping names no message id.

        Raises BadCell.
        """
        kind = _text("type", self.type, row) or ""
        if kind not in TYPES:
            raise BadCell("type", f"{kind!r} is none of {', '.join(TYPES)}", "NOT_AN_EVENT")
        return event_pb2.Event(
            type=TYPES[kind],
            name=_text("event", self.event, row),
            message_id=_text("message_id", self.message_id, row) or own_id(),
            identifiers=[
                Identifier(namespace=namespace, value=value)
                for namespace, cell in self.identifiers.items()
                if (value := _text(f"identifiers.{namespace}", cell, row))
            ],
            occurred_at_us=_instant(self.time, row),
            properties=_document("properties", self.properties, row),
            traits=_document("traits", self.traits, row),
            context=_document("context", self.context, row),
            channel=_text("channel", self.channel, row),
            group_id=_text("group_id", self.group_id, row),
        )


def read_mapping(told: Any) -> FileMapping:
    """The mapping that a YAML document tells. Raises InvalidField, which names the place."""
    if not isinstance(told, dict):
        raise InvalidField("a mapping is a YAML mapping of parts of an event to columns")
    _refuse_strange("", told, _KEYS)
    if not isinstance(told.get("identifiers"), dict) or not told["identifiers"]:
        raise InvalidField("name at least one identifier", field="identifiers")
    kind = told.get("type", "track")
    if isinstance(kind, str) and kind not in TYPES:
        raise InvalidField(f"write one of {', '.join(TYPES)}", field="type")
    if kind == "track" and "event" not in told:
        raise InvalidField("a track needs the name of its event", field="event")
    return FileMapping(
        type=_cell("type", kind),
        event=_optional("event", told),
        message_id=_optional("message_id", told),
        time=_time_cell(told.get("time")),
        channel=_optional("channel", told),
        group_id=_optional("group_id", told),
        identifiers=_cells("identifiers", told),
        properties=_cells("properties", told),
        traits=_cells("traits", told),
        context=_cells("context", told),
        encoding=str(told.get("encoding", "auto")),
        delimiter=_delimiter(told.get("delimiter", ",")),
    )


def _delimiter(told: object) -> str:
    if not isinstance(told, str) or len(told) != 1:
        raise InvalidField("write one character", field="delimiter")
    return told


def _optional(place: str, told: Mapping[str, Any]) -> Cell | None:
    return _cell(place, told[place]) if place in told else None


def _cells(place: str, told: Mapping[str, Any]) -> dict[str, Cell]:
    part = told.get(place, {})
    if not isinstance(part, dict):
        raise InvalidField("write a mapping of names to columns", field=place)
    return {str(name): _cell(f"{place}.{name}", cell) for name, cell in part.items()}


def _cell(place: str, told: Any) -> Cell:
    if not isinstance(told, dict):
        return Cell(lambda _: told)
    _refuse_strange(place, told, _CELL_KEYS)
    if "value" in told:
        value = told["value"]
        return Cell(lambda _: value)
    if "template" in told:
        return _template(str(told["template"]))
    column = _column(place, told)
    kind = told.get("type")
    if kind == "time":
        read_time = _time_reader(place, told)
        return Cell(lambda row: _as_text(read_time(_at(row, column))), (column,))
    if kind is not None and kind not in _READERS:
        raise InvalidField(f"write one of time, {', '.join(_READERS)}", field=f"{place}.type")
    read = _READERS.get(str(kind), _as_it_is)
    return Cell(lambda row: _read_cell(place, read, _at(row, column)), (column,))


def _at(row: Row, column: str) -> Any:
    """The value of a column; in JSON, `a.b` is `b` inside `a`."""
    if column in row or "." not in column:
        return row.get(column)
    outer, _, inner = column.partition(".")
    nested = row.get(outer)
    return _at(nested, inner) if isinstance(nested, dict) else None


def _template(text: str) -> Cell:
    columns = tuple(_HOLE.findall(text))

    def read(row: Row) -> str:
        return _HOLE.sub(lambda hole: str(_at(row, hole[1]) or ""), text)

    return Cell(read, columns)


def _time_cell(told: Any) -> Cell | None:
    if told is None:
        return None
    if not isinstance(told, dict):
        raise InvalidField("write {column: NAME}", field="time")
    _refuse_strange("time", told, {"column", "format", "zone"})
    column, read = _column("time", told), _time_reader("time", told)
    return Cell(lambda row: read(_at(row, column)), (column,))


def _time_reader(place: str, told: Mapping[str, Any]) -> Callable[[Any], int | None]:
    form, zone = told.get("format"), _zone(place, told.get("zone", "UTC"))

    def read(value: Any) -> int | None:
        if value is None or str(value).strip() == "":
            return None
        try:
            return _read_time(str(value).strip(), form, zone)
        except (ValueError, OverflowError):
            wanted = form or "RFC 3339, such as 2026-11-21T20:17:09+08:00"
            raise BadCell(place, f"the time cannot be read as {wanted}", "TIME_INVALID") from None

    return read


def _read_time(text: str, form: str | None, zone: tzinfo) -> int:
    if form in _EPOCHS:
        return int(float(text) * _EPOCHS[form]) if "." in text else int(text) * _EPOCHS[form]
    if form:
        instant = datetime.strptime(text, form)
    elif "T" not in text.upper() and " " not in text:
        raise ValueError("a date is no instant")
    else:
        instant = datetime.fromisoformat(text)
    return to_us(instant if instant.tzinfo else instant.replace(tzinfo=zone))


def _zone(place: str, told: object) -> tzinfo:
    shaped = _OFFSET.fullmatch(str(told))
    if shaped:
        span = timedelta(hours=int(shaped[2]), minutes=int(shaped[3]))
        return timezone(span if shaped[1] == "+" else -span)
    if told == "UTC":
        return UTC
    try:
        return ZoneInfo(str(told))
    except (KeyError, ValueError, OSError):
        raise InvalidField(
            "this time zone is not known here; write one such as +08:00", field=f"{place}.zone"
        ) from None


def _column(place: str, told: Mapping[str, Any]) -> str:
    column = told.get("column")
    if not isinstance(column, str) or not column:
        raise InvalidField("name a column", field=f"{place}.column")
    return column


def _refuse_strange(place: str, told: Mapping[Any, Any], known: Iterable[str]) -> None:
    strange = sorted(str(key) for key in told if key not in set(known))
    if strange:
        raise InvalidField(
            f"unknown {strange[0]!r}; known are {', '.join(sorted(known))}", field=place
        )


def _read_cell(place: str, read: Callable[[Any], Any], value: Any) -> Any:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        return read(value)
    except (ValueError, TypeError, OverflowError):
        raise BadCell(place, f"the cell of {place} is not of its type") from None


def _as_it_is(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError("no integer")
    return int(value) if not isinstance(value, str) else int(value.strip().replace(",", ""))


def _number(value: Any) -> float:
    number = float(value.strip().replace(",", "")) if isinstance(value, str) else float(value)
    if not math.isfinite(number):
        raise ValueError("no finite number")
    return number


def _boolean(value: Any) -> bool:
    word = str(value).strip().lower()
    if word not in _TRUE and word not in _FALSE:
        raise ValueError("neither true nor false")
    return word in _TRUE


def _json(value: Any) -> Any:
    return read_json(value) if isinstance(value, str) else value


def read_json(text: str) -> Any:
    """What a JSON text says. Raises ValueError, also for NaN and Infinity."""
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _as_plain_text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool | int):
        return json.dumps(value)
    raise ValueError("no text")


_READERS: dict[str, Callable[[Any], Any]] = {
    "text": _as_plain_text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "json": _json,
}


def _as_text(us: int | None) -> str | None:
    return None if us is None else to_rfc3339(us)


def _text(place: str, cell: Cell | None, row: Row) -> str:
    value = cell.read(row) if cell else None
    if value is None:
        return ""
    if isinstance(value, float | list | dict):
        reason = "IDENTIFIER_INVALID" if place.startswith("identifiers") else "VALUE_INVALID"
        raise BadCell(place, f"the cell of {place} must be a text", reason)
    return _as_plain_text(value)


def _instant(cell: Cell | None, row: Row) -> int:
    """Unix microseconds; 0 where nothing is said."""
    us = cell.read(row) if cell else None
    # In the treaty 0 says nothing; a cell that says 1970 is to be refused as such.
    return 0 if us is None else us or 1


def _document(place: str, cells: Mapping[str, Cell], row: Row) -> bytes:
    values = dict(_values(cells, row))
    try:
        return msgspec.json.encode(values) if values else b""
    except (TypeError, ValueError, OverflowError):
        raise BadCell(place, f"{place} cannot be written as JSON") from None


def _values(cells: Mapping[str, Cell], row: Row) -> Iterator[tuple[str, Any]]:
    for name, cell in cells.items():
        value = cell.read(row)
        if value is not None:
            yield name, value
