"""Reads requests in plain JSON, the form that `services.chassis.codec.plain_json` writes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from onefold.type.v1.options_pb2 import BytesFormat

from services.chassis.codec.plain_json import WELL_KNOWN, format_of, is_map, value_field
from services.console.gateway.errors import invalid
from services.console.gateway.methods import MessageClass


def read_plain(document: Mapping[str, object], kind: MessageClass) -> Message:
    """Return the message that an object of plain JSON describes. Raises CallFailed."""
    described: Any = kind.DESCRIPTOR
    try:
        converted: Any = _to_protojson(document, described, "")
        return json_format.ParseDict(converted, kind())
    except json_format.ParseError as error:
        raise invalid(str(error)) from None
    except (RecursionError, ValueError, SystemError):
        raise invalid("the request is nested too deeply, or has half a character") from None


def _to_protojson(value: object, kind: Descriptor, path: str) -> object:
    """Return plain JSON as the JSON form of Protobuf, where they differ. Raises CallFailed."""
    if not isinstance(value, Mapping) or kind.full_name.startswith(WELL_KNOWN):
        return value
    converted: dict[str, object] = {}
    for name, part in value.items():
        field = kind.fields_by_name.get(name) or kind.fields_by_camelcase_name.get(name)
        if field is None:
            names = ", ".join(each.name for each in kind.fields) or "no fields"
            raise invalid(f"{path}{name}: {kind.name} has no such field; it has {names}")
        converted[name] = _convert(part, field, f"{path}{name}")
    return converted


def _convert(value: object, field: FieldDescriptor, path: str) -> object:
    if is_map(field) and isinstance(value, dict):
        inner = value_field(field)
        return {key: _convert_one(part, inner, f"{path}.{key}") for key, part in value.items()}
    # JSON in a field may itself be a list; a list of such values is a list of lists then.
    if field.is_repeated and isinstance(value, list):
        return [_convert_one(part, field, f"{path}[{i}]") for i, part in enumerate(value)]
    return _convert_one(value, field, path)


def _convert_one(value: object, field: FieldDescriptor, path: str) -> object:
    if field.message_type is not None:
        return _to_protojson(value, field.message_type, f"{path}.")
    if field.type != FieldDescriptor.TYPE_BYTES:
        return value
    match format_of(field):
        case BytesFormat.BYTES_FORMAT_JSON:
            text = "" if value is None else json.dumps(value, ensure_ascii=False)
            return base64.b64encode(text.encode()).decode()
        case BytesFormat.BYTES_FORMAT_HEX:
            try:
                return base64.b64encode(bytes.fromhex(str(value))).decode()
            except ValueError:
                raise invalid(f"{path}: write hexadecimal digits") from None
    return value
