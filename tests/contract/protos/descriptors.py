"""Loads the descriptors of all messages and rpcs of the API contract."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, MethodDescriptor

GEN = Path(__file__).resolve().parents[3] / "gen"


def files() -> Iterator[FileDescriptor]:
    """Yield the descriptor of every proto file."""
    for path in sorted(GEN.rglob("*_pb2.py")):
        name = path.relative_to(GEN).with_suffix("").as_posix().replace("/", ".")
        yield importlib.import_module(name).DESCRIPTOR


def messages() -> Iterator[Descriptor]:
    """Yield the descriptor of every message."""
    for file in files():
        yield from file.message_types_by_name.values()


def fields() -> Iterator[FieldDescriptor]:
    """Yield the descriptor of every field."""
    for message in messages():
        yield from message.fields


def rpcs() -> Iterator[MethodDescriptor]:
    """Yield the descriptor of every rpc."""
    for file in files():
        for service in file.services_by_name.values():
            yield from service.methods


def option(field: FieldDescriptor, extension: FieldDescriptor) -> Any:
    """Return the value of a field option, or its default."""
    return field.GetOptions().Extensions[extension]
