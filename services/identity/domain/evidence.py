"""What facts say about who is whom: who is named together, how strongly, since when; what people
decided."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from services.kernel.identifiers import Identifier, primary_identifier
from services.kernel.ids import FactId, IdentifierId, LeafId, WorkspaceId
from services.kernel.time import DAY_US


class EvidenceKind(IntEnum):
    """How strongly an edge binds; the smaller number is taken first."""

    #: A person decided it.
    DECIDED = 1
    #: Somebody says it: an alias.
    STATED = 2
    #: Seen on one event with its strongest identifier, and checked by the sender.
    VERIFIED = 3
    #: Seen on one event with its strongest identifier.
    OBSERVED = 4
    #: Seen on one event beside its strongest identifier.
    CO_OBSERVED = 5


class FirstSeen(NamedTuple):
    """The earliest evidence of something. The order of the tuple is the canonical order."""

    #: Unix microseconds.
    occurred_at_us: int
    fact_id: FactId


#: What is seen all the time is written once in so many days, also where years come at once.
SEEN_PERIOD_DAYS = 30
SEEN_PERIOD_US = SEEN_PERIOD_DAYS * DAY_US


class SeenSpan(NamedTuple):
    """Since when, and until when, two identifiers were seen together."""

    first: FirstSeen
    #: Days since 1970 (UTC): the last one of the SEEN_DAYS in which they were seen last. No finer,
    #: and never too early.
    last_seen_day: int

    def union(self, other: SeenSpan) -> SeenSpan:
        """Both; the order does not matter, nor does how often."""
        return SeenSpan(min(self.first, other.first), max(self.last_seen_day, other.last_seen_day))


def span_of(first: FirstSeen) -> SeenSpan:
    """One moment."""
    return SeenSpan(first, period_end_day(first.occurred_at_us))


def period_end_day(at_us: int) -> int:
    """The last one of the SEEN_DAYS that an instant (Unix microseconds) lies in."""
    return at_us // SEEN_PERIOD_US * SEEN_PERIOD_DAYS + SEEN_PERIOD_DAYS - 1


class Pair(NamedTuple):
    """Two identifiers, a < b."""

    a: IdentifierId
    b: IdentifierId


class Edge(NamedTuple):
    """Two identifiers that belong together, a < b."""

    a: IdentifierId
    b: IdentifierId
    kind: int


def edge_of(one: IdentifierId, other: IdentifierId, strength: int) -> Edge:
    """The edge between two."""
    return Edge(one, other, strength) if one < other else Edge(other, one, strength)


class DecisionKind(IntEnum):
    """What a person decided about two identifiers."""

    LINK = 1
    SEPARATE = 2
    #: What was decided before is taken back.
    WITHDRAW = 3


class Decision(NamedTuple):
    """What a person decided. The latest counts: the order of the tuple."""

    at: FirstSeen
    kind: int
    #: Who.
    actor: str
    #: Why, for people.
    reason: str


class IdentifierInWorkspace(NamedTuple):
    """What an identifier id stands for."""

    workspace_id: WorkspaceId
    #: None where only the id is known: a leaf that the present standard forms no longer give.
    identifier: Identifier | None


@dataclass(frozen=True, slots=True)
class Observation:
    """The identifiers that one event names together, the leaf among them, and their edges."""

    identifiers: Mapping[IdentifierId, IdentifierInWorkspace]
    edges: tuple[Edge, ...]


def observe(
    workspace_id: WorkspaceId,
    leaf_id: LeafId,
    identifiers: Iterable[Identifier],
    strength: EvidenceKind,
    verified: Collection[Identifier] = (),
) -> Observation:
    """What an event says that is kept under `leaf_id` and carries these standard identifiers.

    `strength` is STATED or OBSERVED; `verified` are those that the sender has checked.

    The edges are a star around the leaf: "seen with this person's strongest identifier". A star
    connects the same component as all pairs do, grows with n and not with n^2, and where an edge to
    the leaf is held, the weaker identifier does not slip past it. A second, weaker star around the
    next strongest keeps the others together where the leaf binds nobody.
    """
    leaf = IdentifierId(leaf_id)
    names = {leaf: IdentifierInWorkspace(workspace_id, None)}
    for identifier in identifiers:
        names[identifier.id_in(workspace_id)] = IdentifierInWorkspace(workspace_id, identifier)
    edges = [
        edge_of(leaf, id_, _strength(strength, name.identifier, verified))
        for id_, name in names.items()
        if id_ != leaf
    ]
    if len(names) > 2 and strength == EvidenceKind.OBSERVED:
        edges.extend(_beside(leaf, names))
    return Observation(names, tuple(edges))


def _strength(
    strength: EvidenceKind, identifier: Identifier | None, verified: Collection[Identifier]
) -> EvidenceKind:
    if verified and strength == EvidenceKind.OBSERVED and identifier in verified:
        return EvidenceKind.VERIFIED
    return strength


def _beside(
    leaf: IdentifierId, names: Mapping[IdentifierId, IdentifierInWorkspace]
) -> Iterator[Edge]:
    rest = {name.identifier: id_ for id_, name in names.items() if id_ != leaf and name.identifier}
    centre = rest[primary_identifier(rest)]
    return (
        edge_of(centre, id_, EvidenceKind.CO_OBSERVED) for id_ in rest.values() if id_ != centre
    )
