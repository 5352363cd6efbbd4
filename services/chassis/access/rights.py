"""Derives from the protos which roles may call which rpc.

Each rpc lists the rights of which a caller needs one; the table here gives rights to roles. So one
line at the rpc decides who may call it, and the reference and the tests read the same line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from onefold.type.v1.options_pb2 import Right, rights

from services.chassis.access.principal import Principal, Role
from services.kernel.errors import InvalidField, NotAllowed
from services.kernel.masking import CLEAR, FieldClass, Lens

#: The metadata in which a call states why it sees what is masked, in percent-encoding.
UNMASK_KEY = "onefold-unmask-reason"
_SEES = (Right.RIGHT_SEE_PERSONAL, Right.RIGHT_UNMASK)
#: The rights of each role.
RIGHTS: Mapping[Role, frozenset[int]] = MappingProxyType(
    {
        Role.SOURCE: frozenset({Right.RIGHT_SEND}),
        Role.READER: frozenset({Right.RIGHT_READ}),
        Role.SERVICE: frozenset({Right.RIGHT_READ, Right.RIGHT_OPERATE, *_SEES}),
        Role.ADMIN: frozenset(
            {Right.RIGHT_READ, Right.RIGHT_OPERATE, Right.RIGHT_ADMINISTER, *_SEES}
        ),
        Role.INTERNAL: frozenset({Right.RIGHT_INTERNAL}),
    }
)


#: What each role sees of personal data without a reason.
VISIBLE: Mapping[Role, FieldClass] = MappingProxyType(
    {
        role: FieldClass.PERSONAL if Right.RIGHT_SEE_PERSONAL in given else FieldClass.NONE
        for role, given in RIGHTS.items()
    }
)
#: The characters of the reason for which a caller unmasks.
MIN_REASON, MAX_REASON = 3, 200


def lens_of(caller: Principal, reason: str = "") -> Lens:
    """Return what a caller sees of personal data; with a reason, all of it. Services see all.

    Raises NotAllowed where it may not unmask, InvalidField where the reason is too short or long.
    """
    if caller.internal:
        return CLEAR
    may_unmask = Right.RIGHT_UNMASK in RIGHTS[caller.role]
    if not reason:
        return Lens(VISIBLE[caller.role], caller.field_classes, may_unmask)
    if not may_unmask:
        raise NotAllowed(
            "a key of this role may not see what is masked: use a key of a back end or of an"
            f" administrator, or call without {UNMASK_KEY}",
            role=caller.role.name.lower(),
        )
    is_short = len(reason.strip()) < MIN_REASON
    if is_short or len(reason) > MAX_REASON or not reason.isprintable():
        raise InvalidField(
            f"state a reason of {MIN_REASON} to {MAX_REASON} printable characters", field=UNMASK_KEY
        )
    return Lens(FieldClass.SENSITIVE, caller.field_classes, may_unmask)


def rpc_of(method: str) -> MethodDescriptor:
    """Return the description of a method, `/package.Service/Rpc`.

    Raises KeyError if no such method is known.
    """
    name = method.strip("/").replace("/", ".")
    found: MethodDescriptor = descriptor_pool.Default().FindMethodByName(name)
    return found


def roles_of(rpc: MethodDescriptor) -> frozenset[Role]:
    """Return the roles that may call an rpc; none where its proto lists no right."""
    needed: Iterable[int] = rpc.GetOptions().Extensions[rights]  # type: ignore[index]  # the stubs know no custom options
    return frozenset(role for role, given in RIGHTS.items() if not given.isdisjoint(needed))


def allowed_roles(service: ServiceDescriptor) -> dict[str, frozenset[Role]]:
    """Return the roles that may call each rpc of a service, by its path `/package.Service/Rpc`."""
    return {f"/{service.full_name}/{rpc.name}": roles_of(rpc) for rpc in service.methods}
