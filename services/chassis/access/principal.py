"""Who makes a call, and what their role may do. What is not allowed by name is refused."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum

from services.kernel.errors import NotAllowed
from services.kernel.identifiers import DEFAULT_REGION
from services.kernel.ids import SourceId, WorkspaceId

#: The metadata in which an internal call names its workspace.
WORKSPACE_KEY = "onefold-workspace"
_NO_SOURCE = SourceId("")


class Role(IntEnum):
    """What a key may do; the numbers of onefold.ingest.v1.Role."""

    #: May send events to one source.
    SOURCE = 1
    #: May read profiles, segments and deliveries and define things; no keys.
    SERVICE = 2
    #: May do everything in its workspace.
    ADMIN = 3
    #: Another service of this installation. No key of the log has it.
    INTERNAL = 100


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls."""

    #: Empty where an internal call names none.
    workspace_id: WorkspaceId
    role: Role
    key_id: str
    #: Empty where the role is not SOURCE.
    source_id: SourceId = _NO_SOURCE
    #: The default region of the workspace: where numbers without a country code are dialled.
    region: str = DEFAULT_REGION

    @property
    def internal(self) -> bool:
        """Whether another service of this installation calls."""
        return self.role is Role.INTERNAL


_PRINCIPAL: ContextVar[Principal] = ContextVar("principal")


def principal() -> Principal:
    """Who makes the call that is being answered. Raises NotAllowed outside of a call."""
    try:
        return _PRINCIPAL.get()
    except LookupError:
        raise NotAllowed("this can only be done in a call") from None


def workspace_id() -> WorkspaceId:
    """The workspace of the call. Raises NotAllowed where an internal call named none."""
    named = principal().workspace_id
    if not named:
        raise NotAllowed(f"name a workspace in the metadata {WORKSPACE_KEY}")
    return named


def region() -> str:
    """The default region of the workspace of the call. Raises NotAllowed outside of a call."""
    return principal().region


def set_principal(caller: Principal) -> None:
    """From here on the present task works for `caller`."""
    _PRINCIPAL.set(caller)


@contextmanager
def as_principal(caller: Principal) -> Iterator[None]:
    """What runs inside is done for `caller`."""
    reset = _PRINCIPAL.set(caller)
    try:
        yield
    finally:
        _PRINCIPAL.reset(reset)


def require_role(caller: Principal, allowed: Container[Role]) -> None:
    """Raises NotAllowed where the caller's role is not among `allowed`."""
    if caller.role not in allowed:
        raise NotAllowed(
            "a key of this role may not do this; use a key of another role",
            role=caller.role.name.lower(),
        )
