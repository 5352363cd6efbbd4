"""Holds the principal of the current call and checks its role."""

from __future__ import annotations

from collections.abc import Container
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import IntEnum

from services.chassis.postgres.workspace import bind_workspace
from services.kernel.errors import NotAllowed
from services.kernel.identifiers.phones import DEFAULT_REGION
from services.kernel.ids import SourceId, WorkspaceId
from services.kernel.masking import DEFAULT_CLASSES, FieldClasses

#: The metadata in which an internal call names its workspace.
WORKSPACE_KEY = "onefold-workspace"
_NO_SOURCE = SourceId("")


def workspace_metadata(workspace_id: WorkspaceId) -> tuple[tuple[str, str], ...]:
    """Return the metadata with which an internal call names its workspace."""
    return ((WORKSPACE_KEY, workspace_id),)


class Role(IntEnum):
    """The kind of a key, which gives rights; the numbers are those of onefold.ingest.v1.Role.

    `RIGHTS` in rights.py has the rights of each role.
    """

    #: Sends events to one source.
    SOURCE = 1
    #: Reads, and changes nothing.
    READER = 2
    #: A back end of the company: reads, and does what operation needs.
    SERVICE = 3
    #: Does everything in its workspace except send events.
    ADMIN = 4
    #: Another service of this installation. No key in the log has this role.
    INTERNAL = 100


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller that a key identifies."""

    #: Empty if an internal call names none.
    workspace_id: WorkspaceId
    role: Role
    key_id: str
    #: Empty unless the role is SOURCE.
    source_id: SourceId = _NO_SOURCE
    #: The default region of the workspace, for phone numbers without a country code.
    region: str = DEFAULT_REGION
    #: The classes of the workspace's fields.
    field_classes: FieldClasses = field(default=DEFAULT_CLASSES, compare=False)

    @property
    def internal(self) -> bool:
        """Return whether another service of this installation calls."""
        return self.role is Role.INTERNAL


_PRINCIPAL: ContextVar[Principal] = ContextVar("principal")


def principal() -> Principal:
    """Return the principal of the current call. Raises NotAllowed outside of a call."""
    try:
        return _PRINCIPAL.get()
    except LookupError:
        raise NotAllowed("this can only be done in a call") from None


def workspace_id() -> WorkspaceId:
    """Return the workspace of the call. Raises NotAllowed if an internal call names none."""
    named = principal().workspace_id
    if not named:
        raise NotAllowed(f"name a workspace in the metadata {WORKSPACE_KEY}")
    return named


def region() -> str:
    """Return the default region of the call's workspace. Raises NotAllowed outside of a call."""
    return principal().region


def set_principal(caller: Principal) -> None:
    """Make `caller` the principal of the current task, which sees the rows of its workspace."""
    _PRINCIPAL.set(caller)
    bind_workspace(caller.workspace_id)


def require_role(caller: Principal, allowed: Container[Role]) -> None:
    """Raise NotAllowed unless the caller's role is in `allowed`."""
    if caller.role not in allowed:
        raise NotAllowed(
            "a key of this role may not do this; use a key of another role",
            role=caller.role.name.lower(),
        )
