"""Defines evidence: which identifiers were seen together, in which way and when, and the manual
decisions about pairs of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.priority import is_device_namespace, primary_identifier
from services.kernel.ids import FactId, IdentifierId, LeafId, WorkspaceId
from services.kernel.time import DAY_US


class EvidenceKind(IntEnum):
    """The kind of evidence behind an edge; the smaller number links first."""

    #: A manual decision.
    DECIDED = 1
    #: An alias event states it.
    STATED = 2
    #: Seen on one event with its primary identifier, and checked by the sender.
    VERIFIED = 3
    #: Seen on one event with its primary identifier.
    OBSERVED = 4
    #: Seen on one event beside its primary identifier.
    CO_OBSERVED = 5
    #: Seen on one event or alias of a public source. Every reader of the source's key can make it.
    CLAIMED = 6


class FirstSeen(NamedTuple):
    """The earliest evidence of something. The order of the tuple is the canonical order."""

    #: Unix microseconds.
    occurred_at_us: int
    fact_id: FactId


#: The last day is stored in steps of this many days, so that an edge that is seen every day is
#: written once in this period, also where an import brings years of events at once.
SEEN_PERIOD_DAYS = 30
SEEN_PERIOD_US = SEEN_PERIOD_DAYS * DAY_US


class SeenSpan(NamedTuple):
    """The time during which two identifiers were seen together."""

    first: FirstSeen
    #: Days since 1970 (UTC): the last day of the period of SEEN_PERIOD_DAYS in which the last
    #: sighting lies; never earlier than the sighting.
    last_seen_day: int

    def union(self, other: SeenSpan) -> SeenSpan:
        return SeenSpan(min(self.first, other.first), max(self.last_seen_day, other.last_seen_day))


def span_of(first: FirstSeen) -> SeenSpan:
    """Return the span of a single sighting."""
    return SeenSpan(first, period_end_day(first.occurred_at_us))


def period_end_day(at_us: int) -> int:
    """Return the last day of the period of SEEN_PERIOD_DAYS that holds an instant (Unix
    microseconds)."""
    return at_us // SEEN_PERIOD_US * SEEN_PERIOD_DAYS + SEEN_PERIOD_DAYS - 1


class Pair(NamedTuple):
    """Two identifiers, a < b."""

    a: IdentifierId
    b: IdentifierId


class Edge(NamedTuple):
    """One kind of evidence that links two identifiers, a < b."""

    a: IdentifierId
    b: IdentifierId
    #: As EvidenceKind.
    kind: int


def edge_of(one: IdentifierId, other: IdentifierId, kind: int) -> Edge:
    """Return the edge between two identifiers given in either order."""
    return Edge(one, other, kind) if one < other else Edge(other, one, kind)


class DecisionKind(IntEnum):
    """The outcome of a manual decision about two identifiers."""

    LINK = 1
    SEPARATE = 2
    #: Withdraws the decision before it.
    WITHDRAW = 3


class Decision(NamedTuple):
    """A manual decision. The latest one counts; the order of the tuple is the order of time."""

    at: FirstSeen
    #: As DecisionKind.
    kind: int
    #: The id of the key that was used.
    actor: str
    #: Free text.
    reason: str

    def edge(self, pair: Pair) -> tuple[Edge, SeenSpan] | None:
        """Return the edge that the decision on a pair makes; None where it makes none."""
        if self.kind != DecisionKind.LINK:
            return None
        return Edge(*pair, EvidenceKind.DECIDED), span_of(self.at)


class IdentifierInWorkspace(NamedTuple):
    """An identifier and its workspace: the meaning of an identifier id."""

    workspace_id: WorkspaceId
    #: None where only the id is known: a leaf that the current normalisation no longer produces.
    identifier: Identifier | None

    @property
    def namespace(self) -> str:
        """Return the namespace; empty where only the id is known."""
        return self.identifier.namespace if self.identifier else ""


@dataclass(frozen=True, slots=True)
class Observation:
    """The identifiers that one event names together, its leaf among them, and their edges."""

    identifiers: Mapping[IdentifierId, IdentifierInWorkspace]
    edges: tuple[Edge, ...]


def names_person(namespace: str) -> bool:
    """Return whether identifiers of a namespace identify a person or an account.

    Those of devices do not, nor do those of which only the id is known: these are leaves that the
    current normalisation no longer produces, and belong to the person of their events.
    """
    return bool(namespace) and not is_device_namespace(namespace)


def observe(
    workspace_id: WorkspaceId,
    leaf_id: LeafId,
    identifiers: Mapping[IdentifierId, Identifier],
    kind: EvidenceKind,
    verified: Collection[Identifier] = (),
) -> Observation:
    """Return the observation of an event with this leaf and these normalised identifiers by id.

    `kind` is STATED, OBSERVED or CLAIMED; `verified` are the identifiers that the sender has
    checked, which counts where the kind is OBSERVED.

    The edges are a star around the leaf: each identifier was seen with the primary one. A star
    connects the same component as all pairs do, grows with n and not with n^2, and where the edge
    to the leaf is held, the weaker identifier does not slip past it. A second, weaker star around
    the identifier of the next priority links the rest where the leaf's own edges are held.

    `leaf_id` is empty for what an erasure has left of an event, of which the leaf is gone.
    """
    leaf = IdentifierId(leaf_id)
    found = {leaf: IdentifierInWorkspace(workspace_id, None)} if leaf_id else {}
    for id_, identifier in identifiers.items():
        found[id_] = IdentifierInWorkspace(workspace_id, identifier)
    edges = [
        edge_of(leaf, id_, _kind_of(kind, one.identifier, verified))
        for id_, one in found.items()
        if leaf_id and id_ != leaf
    ]
    if len(found) > 1 + bool(leaf_id) and kind == EvidenceKind.OBSERVED:
        edges.extend(_secondary_star(leaf, found))
    return Observation(found, tuple(edges))


def _kind_of(
    kind: EvidenceKind, identifier: Identifier | None, verified: Collection[Identifier]
) -> EvidenceKind:
    if verified and kind == EvidenceKind.OBSERVED and identifier in verified:
        return EvidenceKind.VERIFIED
    return kind


def _secondary_star(
    leaf: IdentifierId, found: Mapping[IdentifierId, IdentifierInWorkspace]
) -> Iterator[Edge]:
    rest = {one.identifier: id_ for id_, one in found.items() if id_ != leaf and one.identifier}
    centre = rest[primary_identifier(rest)]
    others = (id_ for id_ in rest.values() if id_ != centre)
    return (edge_of(centre, id_, EvidenceKind.CO_OBSERVED) for id_ in others)


class Evidence:
    """A set of evidence, stored as minima and maxima.

    Adding in any order, any number of times, gives the same set. This makes the state of identity
    a function of the set of facts.
    """

    __slots__ = ("decisions", "edges", "first_seen", "identifiers")

    def __init__(self) -> None:
        self.first_seen: dict[IdentifierId, FirstSeen] = {}
        #: Without the edges that decisions make.
        self.edges: dict[Edge, SeenSpan] = {}
        self.decisions: dict[Pair, Decision] = {}
        #: Every identifier of the three above.
        self.identifiers: dict[IdentifierId, IdentifierInWorkspace] = {}

    def __bool__(self) -> bool:
        return bool(self.first_seen or self.edges or self.decisions)

    def add(self, observation: Observation, span: SeenSpan) -> None:
        """Add an observation that was made over a span of time."""
        for id_, identifier in observation.identifiers.items():
            self._add_identifier(id_, identifier, span.first)
        for edge in observation.edges:
            existing = self.edges.get(edge)
            self.edges[edge] = span if existing is None else existing.union(span)

    def add_decision(
        self, decision: Decision, identifiers: Mapping[IdentifierId, IdentifierInWorkspace]
    ) -> None:
        """Add a decision on two identifiers; where both are the same one, only its sighting."""
        for id_, identifier in identifiers.items():
            self._add_identifier(id_, identifier, decision.at)
        if len(identifiers) == 2:
            pair = Pair(*sorted(identifiers))
            if pair not in self.decisions or self.decisions[pair] < decision:
                self.decisions[pair] = decision

    def _add_identifier(
        self, id_: IdentifierId, identifier: IdentifierInWorkspace, first: FirstSeen
    ) -> None:
        existing = self.first_seen.get(id_)
        if existing is None or first < existing:
            self.first_seen[id_] = first
        if identifier.identifier is not None or id_ not in self.identifiers:
            self.identifiers[id_] = identifier
