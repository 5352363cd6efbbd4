"""Defines the rows of identity's state, and the graph of some profiles that they make up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from services.identity.domain.evidence import (
    Decision,
    Edge,
    FirstSeen,
    IdentifierInWorkspace,
    Pair,
    SeenSpan,
)
from services.identity.domain.held import HeldEdge
from services.identity.domain.policy import Policy
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId


class IdentifierFlag(IntEnum):
    """Bits that are stored with an identifier, so that they need not be worked out again."""

    #: An edge held for a reason of CROSS_PROFILE, or a decision to separate, touches it.
    CONTESTED = 1
    SHARED = 2
    RECYCLED = 4


class IdentifierRow(NamedTuple):
    """A stored identifier."""

    profile_id: ProfileId
    first: FirstSeen
    #: See IdentifierFlag.
    flags: int = 0


class AssignedProfile(NamedTuple):
    """The profile of an identifier."""

    profile_id: ProfileId
    #: Increases with every change of the same identifier.
    version: int


class EdgeRow(NamedTuple):
    """A stored edge."""

    span: SeenSpan
    #: None where it links.
    held: HeldEdge | None = None


class StoredIdentifier(NamedTuple):
    """An identifier with its namespace and value."""

    identifier: IdentifierInWorkspace
    row: IdentifierRow


@dataclass(frozen=True, slots=True)
class StoredEvidence:
    """The stored rows of some identifiers, edges and decisions."""

    identifiers: dict[IdentifierId, IdentifierRow] = field(default_factory=dict)
    edges: dict[Edge, EdgeRow] = field(default_factory=dict)
    decisions: dict[Pair, Decision] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LockedState:
    """The stored state that new evidence meets, read under its locks."""

    #: With the identifiers that name the profiles.
    stored: StoredEvidence
    #: The version of the assignments to write; higher than all earlier ones.
    version: int
    #: Of the workspaces that have defined one.
    policies: Mapping[WorkspaceId, Policy] = field(default_factory=dict)
    #: Workspaces whose policy rollout has not finished: their stored edges and flags
    #: may still follow from an earlier policy.
    rolling_out: frozenset[WorkspaceId] = frozenset()
    #: The profiles of `stored` with a CONTESTED identifier.
    contested: frozenset[ProfileId] = frozenset()


@dataclass(slots=True)
class ProfileGraph:
    """Some whole profiles, the edges at their identifiers, and the other ends of those edges."""

    members: dict[IdentifierId, StoredIdentifier] = field(default_factory=dict)
    edges: dict[Edge, EdgeRow] = field(default_factory=dict)
    separated: set[Pair] = field(default_factory=set)
    #: Ends of `edges` that belong to other profiles.
    outside: dict[IdentifierId, StoredIdentifier] = field(default_factory=dict)
    #: Members at which more claims are held as TOO_MANY_CLAIMS than `edges` has: the last one that
    #: it has. All others were first seen later.
    cut: dict[IdentifierId, Edge] = field(default_factory=dict)

    def merge(self, other: ProfileGraph) -> None:
        """Add another graph."""
        self.members.update(other.members)
        self.edges.update(other.edges)
        self.separated |= other.separated
        self.cut.update(other.cut)
        self.outside.update(other.outside)
        for id_ in self.outside.keys() & self.members.keys():
            del self.outside[id_]

    def get(self, id_: IdentifierId) -> StoredIdentifier | None:
        """Return a member or an outside end."""
        return self.members.get(id_) or self.outside.get(id_)


class SeenIdentifier(NamedTuple):
    """An identifier and when it was first seen."""

    identifier_id: IdentifierId
    identifier: Identifier
    first: FirstSeen


@dataclass(frozen=True, slots=True)
class ResolvedProfile:
    """A profile and its identifiers, oldest first."""

    profile_id: ProfileId
    identifiers: tuple[SeenIdentifier, ...]


class IdentifierAssignment(NamedTuple):
    """The profile of an identifier from now on; the highest version wins."""

    identifier_id: IdentifierId
    profile_id: ProfileId
    version: int
    identifier: IdentifierInWorkspace
    #: The profile before; None where the identifier is new.
    before: ProfileId | None = None
