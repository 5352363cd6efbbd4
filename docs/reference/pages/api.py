"""Generates the page of the API from the comments and options of the protos."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodOptions,
    ServiceDescriptorProto,
)
from grpc_tools import protoc
from onefold.type.v1 import options_pb2

PROTOS = Path(__file__).resolve().parents[3] / "protos"
#: In the order in which an event passes them.
PACKAGES = (
    *("ingest", "log", "identity", "profile", "segment", "activation"),
    *("audit", "projection", "rule", "type"),
)
#: Paths of messages, enums and services, and of their parts, in source information.
MESSAGE, ENUM, SERVICE = 4, 5, 6
MESSAGE_FIELD, NESTED_MESSAGE, NESTED_ENUM, ENUM_VALUE, METHOD = 2, 3, 4, 2, 2

HEAD = """\
# The API

Generated from the comments in `protos/` by `python docs/reference/generate.py`; do not edit.

All rpcs are gRPC, with a key in the metadata `authorization: Bearer KEY`; the key selects the
workspace. Reflection lists the services of each process, and `buf curl` or any client with the
protos can call them. A failed call has a status with exactly one `google.rpc.ErrorInfo` of the
domain `onefold.dev`, whose `reason` is one of [`ErrorReason`](#onefoldtypev1).

An rpc marked *read* has no side effects (`idempotency_level = NO_SIDE_EFFECTS`) and may be retried.
The type `bytes` is followed by its format in plain JSON: embedded JSON, hexadecimal digits, or
base64 where none is given. A string with a pattern matches it as a whole, or is empty where it is
not required.
"""

_SCALARS = {
    number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()
}

#: How plain JSON writes a `bytes` field.
_FORMATS = {options_pb2.BYTES_FORMAT_JSON: "JSON", options_pb2.BYTES_FORMAT_HEX: "hex"}
NO_SIDE_EFFECTS = MethodOptions.NO_SIDE_EFFECTS

Path_ = tuple[int, ...]


class Proto:
    """One proto file and its comments."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self.file = file
        self._comments = {
            tuple(location.path): " ".join(location.leading_comments.split())
            for location in file.source_code_info.location
        }

    def comment(self, *path: int) -> str:
        """Return the comment above a part, on one line."""
        return self._comments.get(path, "").replace("|", "\\|")

    def services(self) -> Iterator[str]:
        """Yield one section per service: its rpcs."""
        for number, service in enumerate(self.file.service):
            yield from self._service(service, number)

    def _service(self, service: ServiceDescriptorProto, number: int) -> Iterator[str]:
        yield f"\n### {service.name}\n\n{self.comment(SERVICE, number)}\n"
        yield "| rpc | request | response | | |\n|---|---|---|---|---|"
        for index, method in enumerate(service.method):
            request = _named(method.input_type, method.client_streaming)
            response = _named(method.output_type, method.server_streaming)
            kind = "read" if method.options.idempotency_level == NO_SIDE_EFFECTS else "write"
            meaning = self.comment(SERVICE, number, METHOD, index)
            yield f"| `{method.name}` | {request} | {response} | {kind} | {meaning} |"

    def messages(self) -> Iterator[str]:
        """Yield one table per message and per enum."""
        for number, message in enumerate(self.file.message_type):
            yield from self._message(message, message.name, (MESSAGE, number))
        for number, enum in enumerate(self.file.enum_type):
            yield from self._enum(enum, enum.name, (ENUM, number))

    def _message(self, message: DescriptorProto, name: str, path: Path_) -> Iterator[str]:
        yield f"\n#### {name}\n\n{self.comment(*path)}"
        maps = {n.name: n for n in message.nested_type if n.options.map_entry}
        if message.field:
            yield "\n| field | type | |\n|---|---|---|"
        for index, field in enumerate(message.field):
            meaning = self.comment(*path, MESSAGE_FIELD, index) + _constraint(field)
            yield f"| `{field.name}` | {_type(field, maps)} | {meaning} |"
        for index, nested in enumerate(message.nested_type):
            if not nested.options.map_entry:
                nested_path = (*path, NESTED_MESSAGE, index)
                yield from self._message(nested, f"{name}.{nested.name}", nested_path)
        for index, enum in enumerate(message.enum_type):
            yield from self._enum(enum, f"{name}.{enum.name}", (*path, NESTED_ENUM, index))

    def _enum(self, enum: EnumDescriptorProto, name: str, path: Path_) -> Iterator[str]:
        yield f"\n#### {name}\n\n{self.comment(*path)}\n\n| value | |\n|---|---|"
        for index, value in enumerate(enum.value):
            yield f"| `{value.name}` | {self.comment(*path, ENUM_VALUE, index)} |"


def page() -> str:
    """Return the text of the page."""
    protos = [Proto(file) for file in descriptors()]
    parts = [HEAD]
    for name in PACKAGES:
        package = f"onefold.{name}.v1"
        own = [proto for proto in protos if proto.file.package == package]
        parts.append(f"\n## {package}")
        parts += [line for proto in own for line in proto.services()]
        parts += [line for proto in own for line in proto.messages()]
    return "\n".join(parts) + "\n"


def descriptors() -> Sequence[FileDescriptorProto]:
    """Return the descriptors of all protos with their comments. Raises RuntimeError."""
    files = sorted(str(p.relative_to(PROTOS)) for p in PROTOS.rglob("*.proto"))
    include = str(resources.files("grpc_tools") / "_proto")
    with tempfile.NamedTemporaryFile() as output:
        base = ["protoc", f"-I{PROTOS}", f"-I{include}", "--include_source_info"]
        if protoc.main([*base, f"--descriptor_set_out={output.name}", *files]):
            raise RuntimeError("protoc failed; its message is above")
        return FileDescriptorSet.FromString(Path(output.name).read_bytes()).file


def _option(field: FieldDescriptorProto, extension: Any) -> Any:
    return field.options.Extensions[extension]


def _constraint(field: FieldDescriptorProto) -> str:
    pattern = _option(field, options_pb2.pattern)
    return f" Pattern `{pattern}`.".replace("|", "\\|") if pattern else ""


def _named(full_name: str, streamed: bool) -> str:
    name = f"`{full_name.rpartition('.')[2]}`"
    return f"stream of {name}" if streamed else name


def _type(field: FieldDescriptorProto, maps: dict[str, DescriptorProto]) -> str:
    short = field.type_name.rpartition(".")[2]
    if entry := maps.get(short):
        key, value = entry.field
        return f"map of {_type(key, {})} to {_type(value, {})}"
    name = f"`{short}`" if short else _SCALARS[field.type]
    if written := _FORMATS.get(_option(field, options_pb2.bytes_format)):
        name += f" ({written})"
    return f"list of {name}" if field.label == FieldDescriptorProto.LABEL_REPEATED else name
