"""Derives from the protos which roles may call which rpc.

Each rpc lists the rights of which a caller needs one; the table here gives rights to roles. So one
line at the rpc decides who may call it, and the reference and the tests read the same line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from onefold.type.v1.options_pb2 import Right, rights

from services.chassis.access.principal import Role

#: The rights of each role.
RIGHTS: Mapping[Role, frozenset[int]] = MappingProxyType(
    {
        Role.SOURCE: frozenset({Right.RIGHT_SEND}),
        Role.READER: frozenset({Right.RIGHT_READ}),
        Role.SERVICE: frozenset({Right.RIGHT_READ, Right.RIGHT_OPERATE}),
        Role.ADMIN: frozenset({Right.RIGHT_READ, Right.RIGHT_OPERATE, Right.RIGHT_ADMINISTER}),
        Role.INTERNAL: frozenset({Right.RIGHT_INTERNAL}),
    }
)


def roles_of(rpc: MethodDescriptor) -> frozenset[Role]:
    """Return the roles that may call an rpc; none where its proto lists no right."""
    needed: Iterable[int] = rpc.GetOptions().Extensions[rights]  # type: ignore[index]  # the stubs know no custom options
    return frozenset(role for role, given in RIGHTS.items() if not given.isdisjoint(needed))


def allowed_roles(service: ServiceDescriptor) -> dict[str, frozenset[Role]]:
    """Return the roles that may call each rpc of a service, by its path `/package.Service/Rpc`."""
    return {f"/{service.full_name}/{rpc.name}": roles_of(rpc) for rpc in service.methods}
