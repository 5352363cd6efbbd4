"""Describes the methods that the gateway serves, as read from the descriptors of the protos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services import SERVICES
from services.chassis.access.principal import Role
from services.chassis.access.rights import roles_of
from services.chassis.rpc.channel import SERVICE_MODULES

#: A class of messages.
MessageClass: TypeAlias = type[Message]

#: The services that serve a package of protos, where it is not named after one.
_SERVED_BY: Mapping[str, Sequence[str]] = {
    "audit": SERVICES,
    "log": ("ingest",),
    "projection": SERVICES[1:],
}


@dataclass(frozen=True, slots=True)
class Method:
    """One method, as one service serves it."""

    service: str
    #: The path of a call over gRPC, `/package.Service/Method`.
    path: str
    request: MessageClass
    response: MessageClass
    takes_stream: bool = False
    gives_stream: bool = False
    #: Whether a call changes nothing, so that GET may make it.
    is_read: bool = False

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @classmethod
    def of(cls, service: str, rpc: MethodDescriptor) -> Method:
        """Return the method of a descriptor."""
        declared: Any = rpc.GetOptions()
        return cls(
            service=service,
            path=f"/{rpc.containing_service.full_name}/{rpc.name}",
            request=GetMessageClass(rpc.input_type),
            response=GetMessageClass(rpc.output_type),
            takes_stream=rpc.client_streaming,
            gives_stream=rpc.server_streaming,
            is_read=declared.idempotency_level == MethodOptions.NO_SIDE_EFFECTS,
        )


class MethodTable:
    """Methods by their addresses."""

    def __init__(self, methods: Sequence[Method]) -> None:
        """Raises ValueError where a service has two methods of one name."""
        self.methods = tuple(methods)
        self._by_path = {(method.service, method.path): method for method in methods}
        self._by_name = {(method.service, method.name): method for method in methods}
        if len(self._by_name) < len(self.methods):
            raise ValueError("a service has two methods of one name, so a name is no address")

    def by_path(self, service: str, path: str) -> Method | None:
        """Return the method of a path of gRPC, such as `/onefold.log.v1.LogService/GetHead`."""
        return self._by_path.get((service, path))

    def by_name(self, service: str, name: str) -> Method | None:
        """Return the method with a name that is unique in its service, such as `GetHead`."""
        return self._by_name.get((service, name))


def client_methods() -> MethodTable:
    """Return the methods that callers with a key of a workspace may call."""
    return MethodTable(
        [
            Method.of(name, rpc)
            for described in _described_services()
            for rpc in described.methods
            if roles_of(rpc) - {Role.INTERNAL}
            for name in serving(described)
        ]
    )


def serving(described: ServiceDescriptor) -> Sequence[str]:
    """Return the services that serve what a descriptor describes."""
    package = described.full_name.split(".")[1]
    return _SERVED_BY.get(package, (package,))


def _described_services() -> Iterator[ServiceDescriptor]:
    for module in SERVICE_MODULES:
        yield from module.DESCRIPTOR.services_by_name.values()
