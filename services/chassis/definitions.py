"""Defines versioned things: waits for the log's head, compares with the current version, appends.

A definition is a fact of the log, and the state that a service folds lags behind the log. So
`define` first loads a state that includes the log's head, and only then decides. The fact's id is a
function of (workspace, kind, key, version): of two callers that define one version, the log takes
the first, and the other one loads again and compares with the first one's definition.
"""

from __future__ import annotations

from asyncio import Lock
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar
from weakref import WeakValueDictionary

from services.kernel.errors import Conflict, InvalidField
from services.kernel.ids import FactId, definition_fact_id
from services.kernel.tokens import Token

#: How often a definition is tried where others define the same thing at the same time.
MAX_ATTEMPTS = 5


class Versioned(Protocol):
    """A definition: a value with a version that counts from 1."""

    @property
    def version(self) -> int: ...

    def at_version(self, version: int) -> Self:
        """Return the same definition with another version."""


D = TypeVar("D", bound=Versioned)


class DefinitionFact(NamedTuple):
    """One version of a definition as a fact of the log."""

    workspace_id: str
    #: The full name of the message in `payload`.
    kind: str
    #: Names the defined thing among those of its kind in the workspace.
    key: str
    version: int
    payload: bytes
    #: The id of a key or the name of a service.
    actor: str = ""

    @property
    def fact_id(self) -> FactId:
        return definition_fact_id(self.workspace_id, self.kind, self.key, self.version)

    @classmethod
    def from_message(
        cls, message: Any, *, workspace_id: str, key: str, version: int, actor: str = ""
    ) -> Self:
        """Return the fact of a protobuf message."""
        payload = message.SerializeToString(deterministic=True)
        return cls(workspace_id, message.DESCRIPTOR.full_name, key, version, payload, actor)


class DefinitionAppended(NamedTuple):
    """The log has a fact."""

    #: Whether the fact is new; False where it was there already with the same content.
    is_new: bool
    #: The state of the log that includes the fact.
    token: Token


class DefinitionLog(Protocol):
    """The event log as far as definitions need it. Both methods raise RetryableError."""

    async def head(self) -> Token:
        """Return the state of the log that includes everything appended so far."""

    async def append_definition(self, fact: DefinitionFact) -> DefinitionAppended:
        """Append a fact. Raises Conflict where the log has its id with other content."""


class WorkspaceLocks:
    """Locks by workspace, such as those that let definitions with a common limit wait in line.

    Each process has its own, so of definitions in several processes one each can exceed the limit.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, Lock] = WeakValueDictionary()

    def of(self, workspace_id: str) -> Lock:
        """Return the lock of a workspace; a definition holds it from loading until it is logged."""
        lock = self._locks.get(workspace_id)
        if lock is None:
            lock = self._locks[workspace_id] = Lock()
        return lock


@dataclass(frozen=True, slots=True)
class Defined(Generic[D]):
    """A definition that is in force, or would be after a dry run."""

    definition: D
    #: False where the same content was in force already.
    changed: bool
    #: The state of the log that includes the definition.
    token: Token
    #: The version in force after a dry run; None = that of `definition`.
    version_in_force: int | None = None

    @property
    def etag(self) -> str:
        """The etag of the definition in force: after a dry run, that for the call without it."""
        if self.version_in_force is not None:
            return etag_of(self.version_in_force)
        return etag_of(self.definition.version)


def etag_of(version: int) -> str:
    """Return the etag of a version. Clients treat it as opaque; 0 = nothing is defined yet."""
    return str(version)


def check_room(existing: Collection[str], id_: str, most: int, *, thing: str) -> None:
    """Raise InvalidField where a new thing would be one too many beside those of a workspace.

    `existing`: the ids of all that are defined, retired ones included. `thing`: its name, which its
    field begins with, such as `queue` for `queue.queue_id`.
    """
    if id_ not in existing and len(existing) >= most:
        raise InvalidField(
            f"the workspace has {most} {thing}s, the most that are allowed: define one under the id"
            f" of a retired {thing}",
            field=f"{thing}.{thing}_id",
        )


def next_definition(current: D | None, desired: D, to_fact: Callable[[D], DefinitionFact]) -> D:
    """Return `current` where `desired` has the same content, else `desired` at the next version.

    The content is the fact's payload, so order matters exactly where the log stores it.
    """
    if current is None:
        return desired.at_version(1)
    same_version = desired.at_version(current.version)
    if to_fact(same_version).payload == to_fact(current).payload:
        return current
    return desired.at_version(current.version + 1)


async def define(
    desired: Callable[[D | None], D],
    *,
    log: DefinitionLog,
    load: Callable[[Token], Awaitable[D | None]],
    to_fact: Callable[[D], DefinitionFact],
    etag: str = "",
    dry_run: bool = False,
) -> Defined[D]:
    """Bring a definition to the desired content, by appending its next version where it differs.

    `desired` gets the current definition (None = there is none yet), may raise OnefoldError, and
    returns the desired content with any version. `load` waits until the state includes a token and
    returns the current definition. With `etag` the definition changes only if it is at that
    version; identical content is never a conflict, so a call without an answer may be repeated.
    A dry run appends nothing.

    Raises Conflict, and what `desired`, `log` and `load` raise.
    """
    for _ in range(MAX_ATTEMPTS):
        # The state must include the head: the version after a stale one is taken already.
        head = await log.head()
        current = await load(head)
        following = next_definition(current, desired(current), to_fact)
        if following is current:
            return Defined(following, changed=False, token=head)
        version = current.version if current else 0
        current_etag = etag_of(version)
        if etag and etag != current_etag:
            raise Conflict(
                "the definition has changed since it was read; read it again, then retry",
                etag=current_etag,
            )
        if dry_run:
            return Defined(following, changed=True, token=head, version_in_force=version)
        try:
            appended = await log.append_definition(to_fact(following))
        except Conflict:  # another caller has defined this version since the load
            continue
        # A fact that is not new is the same definition by another caller, after the load.
        return Defined(following, changed=appended.is_new, token=appended.token)
    raise Conflict("others define this at the same time; read it again, then retry")
