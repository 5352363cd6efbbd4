"""Defines the changes of stored rows by a resolution, and finds them by comparing rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from services.identity.domain.evidence import Decision, Edge, FirstSeen, IdentifierInWorkspace, Pair
from services.identity.domain.rows import EdgeRow, IdentifierRow, ProfileGraph, StoredEvidence
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId


class EdgeChange(NamedTuple):
    """An edge before (None = not stored) and after (None = deleted)."""

    workspace_id: WorkspaceId
    before: EdgeRow | None
    after: EdgeRow | None


class ReassignedIdentifier(NamedTuple):
    """A stored identifier that moves to another profile."""

    id: IdentifierId
    before: ProfileId
    after: ProfileId
    identifier: IdentifierInWorkspace
    #: As stored after the resolution.
    first: FirstSeen


@dataclass(slots=True)
class ResolutionChanges:
    """What to write. Digests, assignments and rows all follow from it."""

    #: Identifiers that were not stored.
    added: dict[IdentifierId, IdentifierRow] = field(default_factory=dict)
    #: Stored identifiers with earlier evidence: the row before, and when they were first seen.
    earlier: dict[IdentifierId, tuple[IdentifierRow, FirstSeen]] = field(default_factory=dict)
    #: The new flags of stored identifiers.
    flagged: dict[IdentifierId, int] = field(default_factory=dict)
    edges: dict[Edge, EdgeChange] = field(default_factory=dict)
    #: Decisions before and after.
    decisions: dict[Pair, tuple[Decision | None, Decision]] = field(default_factory=dict)
    #: Profiles that merge into another one or get another id, with all their identifiers.
    merged: dict[ProfileId, ProfileId] = field(default_factory=dict)
    #: Stored identifiers that move one by one.
    reassigned: list[ReassignedIdentifier] = field(default_factory=list)
    #: The profile of every identifier of the evidence.
    profiles: dict[IdentifierId, ProfileId] = field(default_factory=dict)

    def written(self) -> StoredEvidence:
        """Return the identifiers and edges of the evidence that are stored after the changes."""
        identifiers = dict(self.added)
        for id_, (before, first) in self.earlier.items():
            identifiers[id_] = before._replace(first=first)
        edges = {edge: after for edge, (_, _, after) in self.edges.items() if after is not None}
        return StoredEvidence(identifiers, edges)

    def merge(self, other: ResolutionChanges) -> None:
        """Add other changes; where both change an edge, the other's change counts."""
        self.added.update(other.added)
        self.earlier.update(other.earlier)
        self.flagged.update(other.flagged)
        self.edges.update(other.edges)
        self.decisions.update(other.decisions)
        self.merged.update(other.merged)
        self.reassigned.extend(other.reassigned)
        self.profiles.update(other.profiles)


def diff(
    workspace_id: WorkspaceId,
    stored: ProfileGraph,
    identifiers: Mapping[IdentifierId, IdentifierRow],
    edges: Mapping[Edge, EdgeRow],
) -> ResolutionChanges:
    """Compare a stored graph with the rows that it should have.

    `identifiers` has at least the members of the graph, `edges` all edges that remain.
    """
    changes = ResolutionChanges()
    for id_, after in identifiers.items():
        member = stored.members.get(id_)
        if member is None:
            changes.added[id_] = after
            continue
        before = member.row
        if after.first != before.first:
            changes.earlier[id_] = (before, after.first)
        if after.profile_id != before.profile_id:
            changes.reassigned.append(
                ReassignedIdentifier(
                    id=id_,
                    before=before.profile_id,
                    after=after.profile_id,
                    identifier=member.identifier,
                    first=after.first,
                )
            )
        if after.flags != before.flags:
            changes.flagged[id_] = after.flags
    for edge in {**stored.edges, **edges}:
        edge_before, edge_after = stored.edges.get(edge), edges.get(edge)
        if edge_before != edge_after:
            changes.edges[edge] = EdgeChange(workspace_id, edge_before, edge_after)
    return changes
