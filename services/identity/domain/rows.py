"""What is so: evidence as a set, identifiers as they are kept, and what changes in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from services.identity.domain.evidence import (
    Decision,
    DecisionKind,
    Edge,
    EvidenceKind,
    FirstSeen,
    IdentifierInWorkspace,
    Observation,
    Pair,
    SeenSpan,
    span_of,
)
from services.identity.domain.linking import HeldEdge
from services.identity.domain.policy import Policy
from services.kernel.identifiers import Identifier
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId


class Evidence:
    """A set of evidence, kept as its minima and maxima.

    Adding in any order, any number of times, gives the same: that is what makes the whole of
    identity a function of the set of facts.
    """

    __slots__ = ("decisions", "edges", "identifiers", "names")

    def __init__(self) -> None:
        self.identifiers: dict[IdentifierId, FirstSeen] = {}
        #: Without those that people decided.
        self.edges: dict[Edge, SeenSpan] = {}
        self.decisions: dict[Pair, Decision] = {}
        #: For every identifier, and for both ends of every edge and decision.
        self.names: dict[IdentifierId, IdentifierInWorkspace] = {}

    def __bool__(self) -> bool:
        return bool(self.identifiers or self.edges or self.decisions)

    def add(self, said: Observation, span: SeenSpan) -> None:
        """Take in what events say that took place in a span of time."""
        for id_, name in said.identifiers.items():
            self.add_identifier(id_, name, span.first)
        for edge in said.edges:
            known = self.edges.get(edge)
            self.edges[edge] = span if known is None else known.union(span)

    def add_identifier(
        self, id_: IdentifierId, name: IdentifierInWorkspace, first: FirstSeen
    ) -> None:
        """Take in that an identifier was seen."""
        if id_ not in self.identifiers or first < self.identifiers[id_]:
            self.identifiers[id_] = first
        if name.identifier is not None or id_ not in self.names:
            self.names[id_] = name

    def decide(
        self, pair: Pair, decision: Decision, names: Mapping[IdentifierId, IdentifierInWorkspace]
    ) -> None:
        """Take in what a person decided."""
        for id_, name in names.items():
            self.add_identifier(id_, name, decision.at)
        if pair.a != pair.b and (pair not in self.decisions or self.decisions[pair] < decision):
            self.decisions[pair] = decision


class IdentifierRow(NamedTuple):
    """An identifier as it is kept."""

    profile_id: ProfileId
    first: FirstSeen
    #: What is so about it; see `IdentifierFlag`.
    flags: int = 0


class IdentifierFlag(IntEnum):
    """What is noted of an identifier, so that it need not be worked out anew."""

    #: Held edges or separations lie between it and other profiles.
    CONTESTED = 1
    #: It is seen with too many.
    SHARED = 2
    #: It has changed hands.
    RECYCLED = 4


class EdgeRow(NamedTuple):
    """An edge as it is kept."""

    span: SeenSpan
    #: None where it binds.
    held: HeldEdge | None = None


@dataclass(frozen=True, slots=True)
class StoredEvidence:
    """What is known of some identifiers, edges and decisions."""

    identifiers: dict[IdentifierId, IdentifierRow] = field(default_factory=dict)
    edges: dict[Edge, EdgeRow] = field(default_factory=dict)
    decisions: dict[Pair, Decision] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LockedState:
    """What is so while nobody else can change it."""

    stored: StoredEvidence
    #: Higher than all that were given before.
    version: int
    #: Of workspaces that have defined one.
    policies: Mapping[WorkspaceId, Policy] = field(default_factory=dict)
    #: Workspaces of which not everybody has been looked at by the present policy.
    rolling_out: frozenset[WorkspaceId] = frozenset()
    #: Those of the profiles in `kept` between which and others something is held.
    contested: frozenset[ProfileId] = frozenset()


class StoredIdentifier(NamedTuple):
    """An identifier of a profile, with all that is kept of it."""

    name: IdentifierInWorkspace
    profile_id: ProfileId
    first: FirstSeen
    marks: int


@dataclass(slots=True)
class ProfileGraph:
    """Some profiles, whole: their members, and evidence about them."""

    members: dict[IdentifierId, StoredIdentifier] = field(default_factory=dict)
    edges: dict[Edge, EdgeRow] = field(default_factory=dict)
    separated: set[Pair] = field(default_factory=set)
    #: Ends of `edges` that are no members.
    outside: dict[IdentifierId, StoredIdentifier] = field(default_factory=dict)

    def merge(self, other: ProfileGraph) -> None:
        """Take in another one."""
        self.members.update(other.members)
        self.edges.update(other.edges)
        self.separated |= other.separated
        self.outside.update(other.outside)
        for id_ in self.outside.keys() & self.members.keys():
            del self.outside[id_]


class ReassignedIdentifier(NamedTuple):
    """An identifier that moved along with its profile."""

    identifier_id: IdentifierId
    before: ProfileId
    after: ProfileId
    name: IdentifierInWorkspace
    first: FirstSeen


class EdgeChange(NamedTuple):
    """An edge as it was (None = not there) and as it is (None = gone)."""

    workspace_id: WorkspaceId
    before: EdgeRow | None
    after: EdgeRow | None


@dataclass(slots=True)
class ResolutionChanges:
    """What is to be written. Digests, assignments and tables all follow from it."""

    #: Identifiers never seen before.
    added: dict[IdentifierId, IdentifierRow] = field(default_factory=dict)
    #: Known identifiers now seen earlier: before and now.
    earlier: dict[IdentifierId, tuple[IdentifierRow, FirstSeen]] = field(default_factory=dict)
    #: Known identifiers of which something else is so now.
    flagged: dict[IdentifierId, int] = field(default_factory=dict)
    edges: dict[Edge, EdgeChange] = field(default_factory=dict)
    #: Decisions: as they were and as they are.
    decisions: dict[Pair, tuple[Decision | None, Decision]] = field(default_factory=dict)
    #: Profiles that live on under another id: every identifier they hold moves along.
    merged: dict[ProfileId, ProfileId] = field(default_factory=dict)
    #: Known identifiers that moved one by one, each as it is once earlier evidence is kept.
    reassigned: list[ReassignedIdentifier] = field(default_factory=list)
    #: For every identifier that the evidence touches: the profile that holds it now.
    profiles: dict[IdentifierId, ProfileId] = field(default_factory=dict)

    def merge(self, other: ResolutionChanges) -> None:
        """Take in the changes of other people."""
        self.added.update(other.added)
        self.earlier.update(other.earlier)
        self.flagged.update(other.flagged)
        self.edges.update(other.edges)
        self.decisions.update(other.decisions)
        self.merged.update(other.merged)
        self.reassigned.extend(other.reassigned)
        self.profiles.update(other.profiles)


class IdentifierAssignment(NamedTuple):
    """An identifier belongs to a profile from now on; the highest version wins."""

    identifier_id: IdentifierId
    profile_id: ProfileId
    version: int
    name: IdentifierInWorkspace
    #: Where it belonged before; None where it is new.
    before: ProfileId | None = None


@dataclass(frozen=True, slots=True)
class AppliedEvidence:
    """What came of evidence."""

    assignments: tuple[IdentifierAssignment, ...] = ()
    #: The profile that holds each identifier that the evidence touches.
    profiles: Mapping[IdentifierId, ProfileId] = field(default_factory=dict)
    #: What is added to the digest of each workspace.
    deltas: Mapping[str, int] = field(default_factory=dict)


class SeenIdentifier(NamedTuple):
    """An identifier and where it was first seen."""

    identifier: Identifier
    first: FirstSeen


@dataclass(frozen=True, slots=True)
class ResolvedProfile:
    """A profile and its identifiers, oldest first."""

    profile_id: ProfileId
    identifiers: tuple[SeenIdentifier, ...]


def decided_edge(pair: Pair, decision: Decision) -> tuple[Edge, SeenSpan] | None:
    """The edge that a decision makes; None where it makes none."""
    if decision.kind != DecisionKind.LINK:
        return None
    return Edge(*pair, EvidenceKind.DECIDED), span_of(decision.at)
