"""What the application of ingest needs from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from services.ingest.domain.definitions import KeyDefinition, SourceDefinition, WorkspaceDefinition
from services.ingest.domain.facts import Appended, NewFact
from services.ingest.domain.model import Accepted, RawEvent, Refusal
from services.kernel.ids import FactId
from services.kernel.tokens import Token


class Offer(Protocol):
    """One event as a door hands it in, however it was written there."""

    @property
    def event(self) -> RawEvent | Refusal:
        """The event, or why the door could not read one."""
        ...

    @property
    def form(self) -> str:
        """How to read `raw` again; see the table `quarantine`."""
        ...

    def raw(self) -> bytes:
        """As it came."""
        ...

    def payload(self, accepted: Accepted) -> bytes:
        """The serialised onefold.type.v1.Event that goes into the log.

        A repeat of the event has the same bytes: nothing in it depends on when it came.
        """
        ...

    def copy_payload(self, accepted: Accepted) -> bytes:
        """The same of a group event's copy: what it says of the account, and the member's leaf."""
        ...


class Heads(Protocol):
    """Where the log ends."""

    @property
    def token(self) -> Token:
        """The end of every shard."""
        ...


class Log(Protocol):
    """The event log, as far as the doors need it."""

    async def heads(self) -> Heads:
        """Where it ends now. Raises StoreUnavailable."""
        ...

    async def append(self, facts: Sequence[NewFact], *, whole: bool = False) -> Appended:
        """Append, and answer after the commit; see EventLog.append."""
        ...


class Clock(Protocol):
    """The log's clock, as this process knows it."""

    def now_us(self) -> int:
        """Unix microseconds."""
        ...

    def learn(self, instant_us: int) -> None:
        """The log's clock has just stood there."""
        ...


class Channels(Protocol):
    """What is known of the sources."""

    async def channel_of(self, workspace_id: str, source_id: str) -> str:
        """The channel of events that name none. Raises StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One refused event in quarantine."""

    quarantine_id: bytes
    workspace_id: str
    source_id: str
    #: grpc, http, nats or file.
    door: str
    refusal: Refusal
    form: str
    raw: bytes
    #: Unix microseconds.
    received_at_us: int
    released_fact_id: FactId | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a list that is sorted newest first: entries before it come next."""

    received_at_us: int
    quarantine_id: bytes


class Quarantine(Protocol):
    """Where refused events are kept. All methods raise StoreUnavailable."""

    async def keep(self, entries: Sequence[Entry]) -> None:
        """Keep them; an entry whose id is there already is left as it is."""
        ...

    async def find(self, workspace_id: str, quarantine_id: bytes) -> Entry | None:
        """The entry, if it is of this workspace."""
        ...

    async def page(
        self, workspace_id: str, before: Cursor | None, limit: int, *, released: bool
    ) -> list[Entry]:
        """Entries newest first; with `released` also those that were released."""
        ...

    async def release(self, quarantine_id: bytes, fact_id: FactId) -> None:
        """Note the fact that an entry became."""
        ...


class Told(NamedTuple):
    """A fact that defines something."""

    workspace_id: str
    kind: str
    payload: bytes


class Definitions(Channels, Protocol):
    """Workspaces, sources and keys as the log tells them. All methods raise StoreUnavailable."""

    async def catch_up(self) -> bool:
        """Fold what the log tells beyond what was folded; answers whether there was any."""
        ...

    async def workspace(self, workspace_id: str) -> WorkspaceDefinition | None:
        """One workspace."""
        ...

    async def sources(self, workspace_id: str) -> list[SourceDefinition]:
        """The sources of a workspace, by id."""
        ...

    async def source(self, workspace_id: str, source_id: str) -> SourceDefinition | None:
        """One source."""
        ...

    async def keys(self, workspace_id: str) -> list[KeyDefinition]:
        """The keys of a workspace, by id."""
        ...

    async def key(self, workspace_id: str, key_id: str) -> KeyDefinition | None:
        """One key."""
        ...
