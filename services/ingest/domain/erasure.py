"""Defines the erasure of a person, as far as the log carries it out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from services.ingest.domain.events import RawEvent, Refusal
from services.kernel.identifiers.model import Identifier, validation_error
from services.kernel.identifiers.normalize import normalize
from services.kernel.index_key import IndexKey

#: By workspace, the ids of identifiers of erased persons.
WorkspaceIds: TypeAlias = Mapping[str, frozenset[bytes]]
NO_IDS: frozenset[bytes] = frozenset()

SUPPRESSED = Refusal(
    "SUPPRESSED",
    "identifiers",
    "the person of one of the identifiers was erased, and their data may not be collected again:"
    " stop sending their events. Nothing of this one was stored",
)


@dataclass(frozen=True, slots=True)
class ErasedPerson:
    """The identifiers of a person, or of several, by which they are found in events and facts."""

    workspace_id: str
    #: The default region of the workspace, for phone numbers.
    region: str
    ids: frozenset[bytes]
    index_key: IndexKey

    def id_of(self, namespace: str, value: object) -> tuple[bytes, Identifier] | None:
        """Return the id and the canonical form of an identifier; None if it identifies no one."""
        if validation_error(namespace, value):
            return None
        identifier = normalize(namespace, str(value), self.region)
        if identifier is None:
            return None
        return identifier.id_in(self.workspace_id, self.index_key), identifier

    def is_named_by(self, event: RawEvent) -> bool:
        """Return whether an event names one of the identifiers, valid as a whole or not."""
        found = (self.id_of(namespace, value) for namespace, value in event.identifiers)
        return any(one is not None and one[0] in self.ids for one in found)


class ErasureRequest(NamedTuple):
    """A request, as identity has appended it."""

    workspace_id: str
    request_id: bytes
    #: Unix microseconds.
    requested_at_us: int
    #: The id of the key that requested it.
    actor: str
    legal_ground: str
    #: Whether later events with these identifiers are refused.
    block: bool
    #: The identifiers of the person; the leaves are among them.
    identifier_ids: tuple[bytes, ...]
    #: The identifiers of others that were named with one of the person.
    related_ids: tuple[bytes, ...]
    #: The state of the log by which they were found: one offset for each shard.
    known_to: tuple[int, ...]


class ServiceRows(NamedTuple):
    """What a service has deleted of a person."""

    service: str
    #: The numbers of rows, by what they were.
    rows: Mapping[str, int]


class ErasureTotals(NamedTuple):
    """What was overwritten so far."""

    #: Facts of the person.
    facts: int = 0
    #: Facts of others that have lost identifiers of the person.
    facts_of_others: int = 0
    #: Events that were deleted from the quarantine.
    refused_events: int = 0
    #: The leaves of the accounts that the person was a member of.
    account_ids: frozenset[bytes] = frozenset()
    #: The leaves of others whose facts have lost identifiers of the person.
    changed_ids: frozenset[bytes] = frozenset()


class ErasureStatus(NamedTuple):
    """An erasure as it is listed."""

    request_id: bytes
    requested_at_us: int
    actor: str
    legal_ground: str
    block: bool
    #: The number of identifiers of the person.
    identifiers: int
    facts: int
    facts_of_others: int
    refused_events: int
    #: When nothing of the person was left in the log, Unix microseconds; None = not yet.
    erased_at_us: int | None
    #: One offset for each shard; None = not yet.
    token: Sequence[int] | None
    #: By service that has deleted what it had: the numbers of rows, by what they were.
    folded: Mapping[str, Mapping[str, int]] = {}


def ids_by_workspace(rows: Iterable[tuple[str, Iterable[bytes]]]) -> dict[str, frozenset[bytes]]:
    """Return the identifiers of each workspace, of all rows together."""
    found: dict[str, set[bytes]] = {}
    for workspace_id, ids in rows:
        found.setdefault(workspace_id, set()).update(ids)
    return {workspace_id: frozenset(ids) for workspace_id, ids in found.items()}
