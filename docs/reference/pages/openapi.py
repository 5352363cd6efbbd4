"""Generates the description of the HTTP API (OpenAPI 3.1) from the comments of the protos."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
)
from onefold.type.v1 import options_pb2

from docs.reference.pages.api import (
    ENUM,
    MESSAGE,
    MESSAGE_FIELD,
    METHOD,
    NESTED_ENUM,
    NESTED_MESSAGE,
    SERVICE,
    descriptors,
)
from services.console.gateway.methods import Method, client_methods

Json = dict[str, Any]

_FORMATS: Mapping[int, Json] = {
    options_pb2.BYTES_FORMAT_UNSPECIFIED: {"type": "string", "contentEncoding": "base64"},
    options_pb2.BYTES_FORMAT_JSON: {},
    options_pb2.BYTES_FORMAT_HEX: {"type": "string", "pattern": "^([0-9a-fA-F]{2})*$"},
}
_INTEGERS = {
    FieldDescriptorProto.TYPE_INT32: "int32",
    FieldDescriptorProto.TYPE_UINT32: "uint32",
    FieldDescriptorProto.TYPE_INT64: "int64",
    FieldDescriptorProto.TYPE_UINT64: "uint64",
    FieldDescriptorProto.TYPE_FIXED64: "uint64",
    FieldDescriptorProto.TYPE_FIXED32: "uint32",
    FieldDescriptorProto.TYPE_SFIXED64: "int64",
    FieldDescriptorProto.TYPE_SINT64: "int64",
}
_BOUNDS = {"int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1)}
_ERROR: Json = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "description": "The code of the failure."},
                "message": {"type": "string", "description": "What to do about it."},
                "reason": {
                    "type": "string",
                    "description": "An onefold.type.v1.ErrorReason without its prefix.",
                },
                "field": {"type": "string", "description": "The field that is invalid."},
                "retry_after_s": {"type": "number", "description": "Seconds to wait."},
                "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        }
    },
}


def page() -> str:
    """Return the document, with sorted keys."""
    return json.dumps(_Document().build(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


class _Document:
    """Builds the document."""

    def __init__(self) -> None:
        self._comments: dict[str, str] = {}
        self._types: dict[str, DescriptorProto | EnumDescriptorProto] = {}
        self._methods: dict[str, MethodDescriptorProto] = {}
        self._schemas: dict[str, Json] = {}
        for file in descriptors():
            self._read(file)

    def _read(self, file: FileDescriptorProto) -> None:
        """Note the types and the methods of a file, and the comments of what it describes."""
        texts = {
            tuple(location.path): " ".join(location.leading_comments.split())
            for location in file.source_code_info.location
        }

        def note(name: str, *path: int) -> None:
            self._comments[name] = texts.get(path, "")

        def visit_enum(prefix: str, enum: EnumDescriptorProto, *path: int) -> None:
            self._types[f"{prefix}.{enum.name}"] = enum
            note(f"{prefix}.{enum.name}", *path)

        def visit(prefix: str, message: DescriptorProto, *path: int) -> None:
            name = f"{prefix}.{message.name}"
            self._types[name] = message
            note(name, *path)
            for number, field in enumerate(message.field):
                note(f"{name}.{field.name}", *path, MESSAGE_FIELD, number)
            for number, nested in enumerate(message.nested_type):
                visit(name, nested, *path, NESTED_MESSAGE, number)
            for number, enum in enumerate(message.enum_type):
                visit_enum(name, enum, *path, NESTED_ENUM, number)

        for number, message in enumerate(file.message_type):
            visit(f".{file.package}", message, MESSAGE, number)
        for number, enum in enumerate(file.enum_type):
            visit_enum(f".{file.package}", enum, ENUM, number)
        for number, service in enumerate(file.service):
            for at, method in enumerate(service.method):
                path = f"/{file.package}.{service.name}/{method.name}"
                self._methods[path] = method
                note(path, SERVICE, number, METHOD, at)

    def build(self) -> Json:
        """Return the document."""
        methods = sorted(client_methods().methods, key=lambda each: (each.service, each.name))
        paths = {
            f"/api/{method.service}/{method.name}": {"post": self._operation(method)}
            for method in methods
        }
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "Onefold",
                "version": "1",
                "description": "Every call of Onefold over HTTP, in plain JSON.",
            },
            "security": [{"key": []}],
            "paths": paths,
            "components": {
                "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
                "schemas": {"Error": _ERROR, **self._schemas},
            },
        }

    def _operation(self, method: Method) -> Json:
        described = self._methods[method.path]
        comment = self._comments[method.path]
        failure = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        sent = "application/x-ndjson" if method.takes_stream else "application/json"
        received = "application/x-ndjson" if method.gives_stream else "application/json"
        return {
            "operationId": f"{method.service}_{method.name}",
            "tags": [method.service],
            "summary": comment.split(". ")[0].rstrip("."),
            "description": comment,
            "requestBody": {
                "required": True,
                "content": {sent: {"schema": self._reference(described.input_type)}},
            },
            "responses": {
                "200": {
                    "description": "The response.",
                    "content": {received: {"schema": self._reference(described.output_type)}},
                },
                "default": {"description": "The call failed.", "content": failure},
            },
        }

    def _reference(self, name: str) -> Json:
        key = name.lstrip(".").removeprefix("onefold.")
        if key not in self._schemas:
            self._schemas[key] = {}  # a message may contain itself
            self._schemas[key] = self._schema(name)
        return {"$ref": f"#/components/schemas/{key}"}

    def _schema(self, name: str) -> Json:
        described = self._types[name]
        schema: Json = {"description": self._comments.get(name, "")}
        if isinstance(described, EnumDescriptorProto):
            return {**schema, "type": "string", "enum": [value.name for value in described.value]}
        required = []
        properties: Json = {}
        for field in described.field:
            comment = self._comments.get(f"{name}.{field.name}", "")
            properties[field.name] = {**self._field(field), "description": comment}
            if re.search(r"\bRequired\.", comment):
                required.append(field.name)
        schema |= {"type": "object", "properties": properties, "additionalProperties": False}
        return {**schema, "required": required} if required else schema

    def _field(self, field: FieldDescriptorProto) -> Json:
        entry = self._types.get(field.type_name)
        if isinstance(entry, DescriptorProto) and entry.options.map_entry:
            return {"type": "object", "additionalProperties": self._value(entry.field[1])}
        value = self._value(field)
        is_list = field.label == FieldDescriptorProto.LABEL_REPEATED
        return {"type": "array", "items": value} if is_list else value

    def _value(self, field: FieldDescriptorProto) -> Json:
        if field.type_name:
            return self._reference(field.type_name)
        if field.type == FieldDescriptorProto.TYPE_BYTES:
            return dict(_FORMATS[_option(field, options_pb2.bytes_format)])
        if field.type == FieldDescriptorProto.TYPE_BOOL:
            return {"type": "boolean"}
        if field.type in _INTEGERS:
            name = _INTEGERS[field.type]
            low, high = _BOUNDS.get(name, (None, None))
            bounds = {} if low is None else {"minimum": low, "maximum": high}
            return {"type": "integer", "format": name, **bounds}
        if field.type in (FieldDescriptorProto.TYPE_DOUBLE, FieldDescriptorProto.TYPE_FLOAT):
            return {"type": "number"}
        schema: Json = {"type": "string"}
        if pattern := _option(field, options_pb2.pattern):
            schema["pattern"] = f"^({pattern})?$"
        if length := _option(field, options_pb2.max_length):
            schema["maxLength"] = length
        if _option(field, options_pb2.secret):
            schema["format"] = "password"
        return schema


def _option(field: FieldDescriptorProto, extension: Any) -> Any:
    return field.options.Extensions[extension]
