"""Maps the rows of a file to events, without I/O.

A mapping names the origin of each part of an event: a text or number that is the same in every row,
or one of::

    {column: NAME, type: text | integer | number | boolean | json | time}
    {template: "order-{number}"}      columns in braces, and a type
    {value: ANYTHING}

The part of an empty cell is left out, and so is a template with an empty column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import msgspec
from onefold.type.v1 import event_pb2
from onefold.type.v1.identifier_pb2 import Identifier

from services.cli.files.cells import (
    BadCell,
    Cell,
    CellDefaults,
    Row,
    check_keys,
    column_value,
    read_cell_form,
    read_time_form,
    text_of,
)
from services.cli.files.encodings import resolve_encoding
from services.cli.files.layout import FileLayout, read_layout
from services.cli.files.numbers import read_marks
from services.cli.files.times import read_zone
from services.kernel.errors import InvalidField
from services.kernel.identifiers.model import is_account_namespace, is_placeholder, validation_error

TYPES: dict[str, Any] = {
    name.removeprefix("EVENT_TYPE_").lower(): number
    for name, number in event_pb2.EventType.items()
    if number
}
#: The parts of an event that are one text, and those that are values by name.
_TEXTS = ("type", "event", "message_id", "channel", "group_id")
_GROUPS = ("identifiers", "properties", "traits", "context")
#: What holds for the whole file.
_LAYOUT = ("encoding", "delimiter", "skip_lines", "header_row", "columns")
_DEFAULTS = ("decimal", "thousands", "zone", "nulls")
_KEYS = frozenset({*_TEXTS, *_GROUPS, *_LAYOUT, *_DEFAULTS, "time"})
_TEXT_TYPES = ("", "text", "integer")
#: Why an identifier identifies no one.
PLACEHOLDER = "it is a placeholder or a word for nothing"


@dataclass(frozen=True, slots=True)
class FileMapping:
    """The origins of all parts of an event."""

    #: By part, such as `message_id`; `type` is always there.
    texts: Mapping[str, Cell]
    time: Cell | None
    #: By part, such as `traits`, and by the name in it.
    groups: Mapping[str, Mapping[str, Cell]]
    #: A name such as `gb18030`; empty = the mark of the file, or else UTF-8.
    encoding: str = ""
    layout: FileLayout = field(default_factory=FileLayout)
    #: Every column that a row must have, sorted.
    columns: tuple[str, ...] = ()

    def used_values(self, row: Row) -> dict[str, Any]:
        """Return the values of a row from which its event is made, by column."""
        values = ((column, column_value(row, column)) for column in self.columns)
        return {column: value for column, value in values if value is not None}

    def to_event(self, row: Row, default_id: Callable[[], str]) -> event_pb2.Event:
        """Return the event of a row; `default_id` gives its message id where the mapping does not.

        Raises BadCell.
        """
        kind = text_of("type", self.texts["type"], row)
        if kind not in TYPES:
            raise BadCell("type", f"the type must be one of {', '.join(TYPES)}", "NOT_AN_EVENT")
        try:
            event = event_pb2.Event(
                type=TYPES[kind],
                name=self._text("event", row),
                message_id=self._text("message_id", row),
                identifiers=[
                    Identifier(namespace=namespace, value=value)
                    for namespace, cell in self.groups["identifiers"].items()
                    if (value := text_of(f"identifiers.{namespace}", cell, row))
                ],
                occurred_at_us=_instant(self.time, row),
                properties=self._document("properties", row),
                traits=self._document("traits", row),
                context=self._document("context", row),
                channel=self._text("channel", row),
                group_id=self._text("group_id", row),
            )
        except (ValueError, TypeError):
            raise BadCell("", "the row has a value that no event can have") from None
        if not event.message_id:
            event.message_id = default_id()
        return event

    def unusable_identifiers(self, row: Row, event: event_pb2.Event) -> Iterator[tuple[str, str]]:
        """Yield namespace and reason of each cell of an identifier that identifies no one.

        What only the service knows, such as whether a phone number exists, is not counted.
        """
        sent = {identifier.namespace: identifier.value for identifier in event.identifiers}
        for namespace, cell in self.groups["identifiers"].items():
            if namespace in sent:
                if is_placeholder(sent[namespace].strip() or "-"):
                    yield namespace, PLACEHOLDER
            elif any(
                str(value).strip()
                for value in map(partial(column_value, row), cell.columns)
                if value is not None
            ):
                yield namespace, PLACEHOLDER

    def _text(self, part: str, row: Row) -> str:
        return text_of(part, self.texts[part], row) if part in self.texts else ""

    def _document(self, part: str, row: Row) -> bytes:
        cells = self.groups[part].items()
        values = {name: value for name, cell in cells if (value := cell.read(row)) is not None}
        try:
            return msgspec.json.encode(values) if values else b""
        except (TypeError, ValueError, ArithmeticError, RecursionError):
            raise BadCell(part, f"{part} cannot be written as JSON") from None


def read_mapping(document: Any) -> FileMapping:
    """Return the mapping of a YAML document. Raises InvalidField, which names the path."""
    if not isinstance(document, dict):
        raise InvalidField("a mapping is a YAML mapping of parts of an event to columns")
    check_keys("", document, _KEYS)
    _check_identifiers(document.get("identifiers"))
    document = {"type": "track", **document}
    kind = document["type"]
    if isinstance(kind, str) and kind not in TYPES:
        raise InvalidField(f"write one of {', '.join(TYPES)}", field="type")
    if kind == "track" and "event" not in document:
        raise InvalidField("a track needs the name of its event", field="event")
    encoding = document.get("encoding", "")
    if not isinstance(encoding, str) or (
        "encoding" in document and resolve_encoding(encoding) == ""
    ):
        raise InvalidField("write a name, such as gb18030", field="encoding")
    defaults = _defaults(document)
    texts = {
        name: _text_cell(name, document[name], defaults) for name in _TEXTS if name in document
    }
    time = read_time_form(document["time"], defaults) if "time" in document else None
    groups = {name: _group(name, document, defaults) for name in _GROUPS}
    cells = [cell for part in (texts, *groups.values()) for cell in part.values()]
    cells += [time] if time else []
    _check_defaults(document, {cell.type for cell in cells})
    return FileMapping(
        texts=texts,
        time=time,
        groups=groups,
        encoding=encoding,
        layout=read_layout(document),
        columns=tuple(sorted({column for cell in cells for column in cell.columns})),
    )


def _check_identifiers(identifiers: Any) -> None:
    if not isinstance(identifiers, dict) or not identifiers:
        raise InvalidField("name at least one identifier", field="identifiers")
    for namespace in identifiers:
        if error := validation_error(namespace, "x"):
            raise InvalidField(error, field=f"identifiers.{namespace}")
        if is_account_namespace(namespace):
            raise InvalidField(
                "this identifies an account, not a person: write `type: group` and `group_id`",
                field=f"identifiers.{namespace}",
            )


def _defaults(document: Mapping[str, Any]) -> CellDefaults:
    defaults = CellDefaults()
    if "nulls" in document:
        nulls = document["nulls"]
        if not isinstance(nulls, list) or not all(isinstance(word, str) for word in nulls):
            raise InvalidField("write a list of texts, in quotes", field="nulls")
        defaults = replace(defaults, nulls=frozenset(word.strip() for word in nulls))
    marks = read_marks("", document.get("decimal", "."), document.get("thousands", ""))
    zone = read_zone("zone", document["zone"]) if "zone" in document else None
    return replace(defaults, marks=marks, zone=zone)


def _check_defaults(document: Mapping[str, Any], types: Set[str]) -> None:
    """Raise InvalidField for what the mapping says for all cells, though it holds for none."""
    for key in ("decimal", "thousands"):
        if key in document and not types & {"number", "integer"}:
            raise InvalidField("no part has `type: number` or `type: integer`", field=key)
    if "zone" in document and "time" not in types:
        raise InvalidField("no part is a time", field="zone")


def _text_cell(path: str, form: Any, defaults: CellDefaults) -> Cell:
    cell = read_cell_form(path, form, defaults)
    if cell.type not in _TEXT_TYPES:
        raise InvalidField("this is a text: write no other type", field=f"{path}.type")
    if not cell.columns:
        try:
            text_of(path, cell, {})
        except BadCell:
            raise InvalidField("write a text, or {column: NAME}", field=path) from None
    return cell


def _group(name: str, document: Mapping[str, Any], defaults: CellDefaults) -> dict[str, Cell]:
    part = document.get(name, {})
    if not isinstance(part, dict):
        raise InvalidField("write a mapping of names to columns", field=name)
    make = _text_cell if name == "identifiers" else read_cell_form
    return {str(key): make(f"{name}.{key}", cell, defaults) for key, cell in part.items()}


def _instant(cell: Cell | None, row: Row) -> int:
    """Return Unix microseconds; 0 where there is no time."""
    us = cell.read(row) if cell else None
    # In the protos 0 means that there is no time; a cell of 1970 has to be rejected as too old.
    return 0 if us is None else us or 1
