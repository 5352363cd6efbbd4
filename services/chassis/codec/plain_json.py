"""Writes messages as plain JSON: names as in the protos, ids as hexadecimal digits.

It differs from the JSON form of Protobuf: fields have the names of the protos, 64-bit integers are
numbers, and a field of type `bytes` is written as its option `bytes_format` says, so that a value
that is JSON is embedded as JSON. A field that is not set has its default value; a message, or
a field with presence, that is not set is left out.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from onefold.type.v1.options_pb2 import BytesFormat, bytes_format

#: How the full names of the messages begin that Protobuf itself brings.
WELL_KNOWN = "google.protobuf."
_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
#: Writes one value of a field.
_Writer = Callable[[Any], Any]
#: See `_plan`.
_Plan = tuple[dict[str, Any], Mapping[FieldDescriptor, tuple[str, _Writer | None]]]


def write_plain(message: Message) -> dict[str, Any]:
    """Return a message as an object of plain JSON; what is JSON in it is a `msgspec.Raw`."""
    described: Any = message.DESCRIPTOR
    return _message_writer(described)(message)


@lru_cache(maxsize=1024)
def _message_writer(kind: Descriptor) -> _Writer:
    """Return what writes the messages of a kind; it is made once, as large pages have many."""
    plan: _Plan | None = None

    def write(message: Message) -> dict[str, Any]:
        nonlocal plan
        if plan is None:  # not before: a message may hold others of its own kind
            plan = _plan(kind)
        defaults, fields = plan
        written = defaults.copy()
        for field, value in message.ListFields():
            name, write_value = fields[field]
            written[name] = value if write_value is None else write_value(value)
        return written

    return write


def _plan(kind: Descriptor) -> _Plan:
    """Return the values of the fields that are not set, and how each field that is set is written.

    The second value has the name of each field and what writes its value; None = it is written as
    it is.
    """
    defaults: dict[str, Any] = {}
    for field in kind.fields:
        if field.is_repeated:
            defaults[field.name] = {} if is_map(field) else []
        elif not field.has_presence:
            write = _writer(field)
            value = field.default_value
            defaults[field.name] = value if write is None else write(value)
    return defaults, {field: (field.name, _field_writer(field)) for field in kind.fields}


def _field_writer(field: FieldDescriptor) -> _Writer | None:
    write = _writer(value_field(field))
    if is_map(field):
        return lambda values: {
            str(key): values[key] if write is None else write(values[key]) for key in values
        }
    if not field.is_repeated:
        return write
    return list if write is None else lambda values: [write(each) for each in values]


def _writer(field: FieldDescriptor) -> _Writer | None:
    """Return what writes one value of a field; None = the value is written as it is."""
    if field.message_type is not None:
        is_known = field.message_type.full_name.startswith(WELL_KNOWN)
        return json_format.MessageToDict if is_known else _message_writer(field.message_type)
    if field.enum_type is not None:
        numbered = field.enum_type.values_by_number
        names = {number: value.name for number, value in numbered.items()}
        return lambda number: names.get(number, number)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _BYTES_WRITERS[format_of(field)]
    return _write_float if field.cpp_type in _FLOATS else None


def _write_float(value: float) -> float | str:
    """Return a number; one that JSON does not have is a text, as Protobuf's own form has it."""
    return value if math.isfinite(value) else _NOT_FINITE[str(value)]


def _write_json(value: bytes) -> Any:
    """Return the JSON that a field holds; null where it holds nothing.

    It is passed on unread, in one line as streams need it.
    """
    if b"\n" in value:
        value = json.dumps(json.loads(value), ensure_ascii=False).encode()
    return msgspec.Raw(value) if value else None


_BYTES_WRITERS: Mapping[int, _Writer] = {
    BytesFormat.BYTES_FORMAT_UNSPECIFIED: lambda value: base64.b64encode(value).decode(),
    BytesFormat.BYTES_FORMAT_HEX: bytes.hex,
    BytesFormat.BYTES_FORMAT_JSON: _write_json,
}


def format_of(field: FieldDescriptor) -> int:
    """Return the `BytesFormat` of a field of type `bytes`."""
    options: Any = field.GetOptions()
    written: int = options.Extensions[bytes_format]
    return written


def is_map(field: FieldDescriptor) -> bool:
    """Return whether a field is a map."""
    kind = field.message_type
    return kind is not None and kind.GetOptions().map_entry


def value_field(field: FieldDescriptor) -> FieldDescriptor:
    """Return the field of the values: of a map that of its entries, else the field itself."""
    if is_map(field) and field.message_type is not None:
        return field.message_type.fields_by_name["value"]
    return field
