"""Makes random requests of every rpc, whose fields are filled with what another tenant has."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from contract.protos.descriptors import rpcs
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from security.two_tenants import MARK, Call, OtherIds, Tenant

from services import SERVICES

#: Calls that wait for a state of the log, or run until the caller ends them.
_WAITING = frozenset({"AwaitToken", "StreamEvents", "Check", "Watch"})
_NUMBERS = (0, 1, 2, 100, 2**40)
_DEEPEST = 4


def foreign_requests(
    own: Tenant, other: OtherIds, *, seed: int, repeats: int, reading: bool
) -> Iterator[tuple[str, bytes, Call]]:
    """Yield random requests with the keys of one workspace: the rpc, the request, and its call.

    `reading`: of the rpcs that change nothing, or of the others.
    """
    values = RandomValues(random.Random(seed), other)
    for rpc in rpcs():
        is_reading = rpc.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
        if rpc.client_streaming or rpc.name in _WAITING or is_reading is not reading:
            continue
        for client in (own.admin, own.source):
            # A stream may have no first message, which takes its whole time.
            for _ in range(1 if rpc.server_streaming else repeats):
                request = GetMessageClass(rpc.input_type)()
                values.fill(request)
                yield rpc.full_name, request.SerializeToString(), _call(client, rpc, request)


class RandomValues:
    """Fills messages with ids and names of another tenant."""

    def __init__(self, generator: random.Random, other: OtherIds) -> None:
        self._random = generator
        ids = [value for value in other if isinstance(value, bytes)]
        self._ids: Sequence[bytes] = [*ids, *other.decided, *other.matched]
        names = (f"{MARK}-only", f"snapshot:{MARK}-only", f"{MARK}-user", "web", "home", other.key)
        self._texts = [MARK, *names, *(each.hex() for each in self._ids)]

    def fill(self, message: Message, depth: int = 0) -> None:
        """Set about half of the fields, and of those that exclude each other at most one."""
        descriptor = message.DESCRIPTOR
        if descriptor.name == "Identifier":
            pair = self._random.choice([("user_id", f"{MARK}-user"), ("email", f"{MARK}@x.cn")])
            message.namespace, message.value = pair  # type: ignore[attr-defined]
            return
        chosen = {each: self._random.choice(each.fields) for each in descriptor.oneofs}
        for field in descriptor.fields:
            if field.containing_oneof and chosen[field.containing_oneof] is not field:
                continue
            if self._random.random() < 0.6:
                self._set(message, field, depth)

    def _set(self, message: Message, field: FieldDescriptor, depth: int) -> None:
        if field.message_type is not None:
            # A state of the log that is not reached would be awaited.
            is_left_out = field.message_type.name == "Token" or depth == _DEEPEST
            if is_left_out or field.message_type.GetOptions().map_entry:
                return
            part = getattr(message, field.name)
            self.fill(part.add() if field.is_repeated else part, depth + 1)
            return
        value = self._scalar(field)
        if field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)

    def _scalar(self, field: FieldDescriptor) -> Any:
        if field.type == FieldDescriptor.TYPE_STRING:
            return self._random.choice(self._texts)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self._random.choice([*self._ids, b"{}"])
        if field.type == FieldDescriptor.TYPE_BOOL:
            return self._random.random() < 0.5
        if field.enum_type is not None:
            return self._random.choice(field.enum_type.values).number
        if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
            return 0.5
        narrow = field.cpp_type in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32)
        return self._random.choice(_NUMBERS[:-1] if narrow else _NUMBERS)


def _call(client: Any, rpc: MethodDescriptor, request: Message) -> Call:
    package, _, _ = rpc.containing_service.full_name.rpartition(".")
    service = {"log": "ingest"}.get(name := package.split(".")[1], name)
    # The others are calls of every service.
    channel = client._channel(service if service in SERVICES else "segment")
    method = f"/{rpc.containing_service.full_name}/{rpc.name}"
    options = {
        "request_serializer": type(request).SerializeToString,
        "response_deserializer": GetMessageClass(rpc.output_type).FromString,
    }
    kind = channel.unary_stream if rpc.server_streaming else channel.unary_unary
    timeout = 0.5 if rpc.server_streaming else 30.0
    return lambda: kind(method, **options)(request, timeout=timeout)
