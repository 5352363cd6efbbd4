"""The page of the API, from the comments of the protos."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parents[3] / "protos"
#: In the order in which an event meets them.
PACKAGES = (
    *("ingest", "log", "identity", "profile", "segment", "activation"),
    *("projection", "rule", "type"),
)
#: Where a file's messages, enums and services, and their parts, are in its source information.
MESSAGE, ENUM, SERVICE = 4, 5, 6
MESSAGE_FIELD, NESTED_MESSAGE, NESTED_ENUM, ENUM_VALUE, METHOD = 2, 3, 4, 2, 2

HEAD = """\
# The API

Generated from the comments in `protos/` by `python docs/reference/generate.py`; do not edit.

All calls are gRPC, with a key in the metadata `authorization: Bearer KEY`; the key decides the
workspace. The services that each process serves are listed by reflection, and `buf curl` or any
client with the protos calls them. A call that fails has a status with exactly one
`google.rpc.ErrorInfo` of the domain `onefold.dev`, whose `reason` is one of
[`ErrorReason`](#onefoldtypev1).
"""

_SCALARS = {
    number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()
}

Path_ = tuple[int, ...]


class Proto:
    """One file and its comments."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self.file = file
        self._comments = {
            tuple(place.path): " ".join(place.leading_comments.split())
            for place in file.source_code_info.location
        }

    def comment(self, *path: int) -> str:
        """What stands above a part."""
        return self._comments.get(path, "").replace("|", "\\|")

    def services(self) -> Iterator[str]:
        """A section a service: its calls."""
        for number, service in enumerate(self.file.service):
            yield from self._service(service, number)

    def _service(self, service: ServiceDescriptorProto, number: int) -> Iterator[str]:
        yield f"\n### {service.name}\n\n{self.comment(SERVICE, number)}\n"
        yield "| call | takes | gives | |\n|---|---|---|---|"
        for at, method in enumerate(service.method):
            takes = _named(method.input_type, method.client_streaming)
            gives = _named(method.output_type, method.server_streaming)
            meaning = self.comment(SERVICE, number, METHOD, at)
            yield f"| `{method.name}` | {takes} | {gives} | {meaning} |"

    def messages(self) -> Iterator[str]:
        """A table a message and an enum."""
        for number, message in enumerate(self.file.message_type):
            yield from self._message(message, message.name, (MESSAGE, number))
        for number, enum in enumerate(self.file.enum_type):
            yield from self._enum(enum, enum.name, (ENUM, number))

    def _message(self, message: DescriptorProto, name: str, path: Path_) -> Iterator[str]:
        yield f"\n#### {name}\n\n{self.comment(*path)}"
        maps = {n.name: n for n in message.nested_type if n.options.map_entry}
        if message.field:
            yield "\n| field | type | |\n|---|---|---|"
        for at, field in enumerate(message.field):
            meaning = self.comment(*path, MESSAGE_FIELD, at)
            yield f"| `{field.name}` | {_type(field, maps)} | {meaning} |"
        for at, nested in enumerate(message.nested_type):
            if not nested.options.map_entry:
                within = (*path, NESTED_MESSAGE, at)
                yield from self._message(nested, f"{name}.{nested.name}", within)
        for at, enum in enumerate(message.enum_type):
            yield from self._enum(enum, f"{name}.{enum.name}", (*path, NESTED_ENUM, at))

    def _enum(self, enum: EnumDescriptorProto, name: str, path: Path_) -> Iterator[str]:
        yield f"\n#### {name}\n\n{self.comment(*path)}\n\n| value | |\n|---|---|"
        for at, value in enumerate(enum.value):
            yield f"| `{value.name}` | {self.comment(*path, ENUM_VALUE, at)} |"


def page() -> str:
    """The text of the page."""
    protos = [Proto(file) for file in described()]
    parts = [HEAD]
    for name in PACKAGES:
        package = f"onefold.{name}.v1"
        own = [proto for proto in protos if proto.file.package == package]
        parts.append(f"\n## {package}")
        parts += [line for proto in own for line in proto.services()]
        parts += [line for proto in own for line in proto.messages()]
    return "\n".join(parts) + "\n"


def described() -> Sequence[FileDescriptorProto]:
    """The protos with their comments, as protoc reads them. Raises RuntimeError."""
    files = sorted(str(p.relative_to(PROTOS)) for p in PROTOS.rglob("*.proto"))
    include = str(resources.files("grpc_tools") / "_proto")
    with tempfile.NamedTemporaryFile() as found:
        base = ["protoc", f"-I{PROTOS}", f"-I{include}", "--include_source_info"]
        if protoc.main([*base, f"--descriptor_set_out={found.name}", *files]):
            raise RuntimeError("protoc failed; its message is above")
        return FileDescriptorSet.FromString(Path(found.name).read_bytes()).file


def _named(full_name: str, streamed: bool) -> str:
    name = f"`{full_name.rpartition('.')[2]}`"
    return f"stream of {name}" if streamed else name


def _type(field: FieldDescriptorProto, maps: dict[str, DescriptorProto]) -> str:
    short = field.type_name.rpartition(".")[2]
    if entry := maps.get(short):
        key, value = entry.field
        return f"map of {_type(key, {})} to {_type(value, {})}"
    name = f"`{short}`" if short else _SCALARS[field.type]
    return f"list of {name}" if field.label == FieldDescriptorProto.LABEL_REPEATED else name
