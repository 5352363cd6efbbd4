"""Resolves all evidence of a workspace at once, as the changes of an empty state."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from services.identity.domain.changes import EdgeChange, ResolutionChanges
from services.identity.domain.evidence import DecisionKind, Edge, Evidence, SeenSpan
from services.identity.domain.fast_path import flags_of
from services.identity.domain.policy import Policy
from services.identity.domain.resolution import Resolution, node_of, resolve
from services.identity.domain.rows import EdgeRow, IdentifierFlag, IdentifierRow
from services.kernel.ids import IdentifierId, WorkspaceId


@dataclass(frozen=True, slots=True)
class FullResolution:
    """The rows that follow from all evidence of a workspace.

    They are made one by one, as all of them take more memory than the evidence.
    """

    workspace_id: WorkspaceId
    evidence: Evidence
    resolution: Resolution
    #: All edges with their spans, those of decisions among them.
    spans: Mapping[Edge, SeenSpan]
    contested: Collection[IdentifierId]
    #: The keys of the rows, in order.
    ids: Sequence[IdentifierId]
    edges: Sequence[Edge]

    def identifier_rows(self) -> Iterator[tuple[IdentifierId, IdentifierRow]]:
        """Yield the row of each identifier, in the order of their ids."""
        profiles, classes = self.resolution.profiles, self.resolution.co_occurrences
        for id_ in self.ids:
            flags = flags_of(classes[id_]) if id_ in classes else 0
            if id_ in self.contested:
                flags |= IdentifierFlag.CONTESTED
            yield id_, IdentifierRow(profiles[id_], self.evidence.first_seen[id_], flags)

    def edge_rows(self) -> Iterator[tuple[Edge, EdgeRow]]:
        """Yield the row of each edge, in the order of the edges."""
        for edge in self.edges:
            yield edge, EdgeRow(self.spans[edge], self.resolution.held.get(edge))

    def pages(self, size: int) -> Iterator[ResolutionChanges]:
        """Yield the changes of an empty state in parts of at most `size` identifiers and edges."""
        added, workspace_id = self.identifier_rows(), self.workspace_id
        edges = ((edge, EdgeChange(workspace_id, None, row)) for edge, row in self.edge_rows())
        decisions = {pair: (None, one) for pair, one in self.evidence.decisions.items()}
        for _ in range(0, max(len(self.ids), len(self.edges)), size):
            yield ResolutionChanges(
                added=dict(islice(added, size)),
                edges=dict(islice(edges, size)),
                decisions=dict(decisions),
            )
            decisions = {}


def full_resolution(
    workspace_id: WorkspaceId, evidence: Evidence, policy: Policy
) -> FullResolution:
    """Resolve all evidence of a workspace.

    The rows are those in which the same evidence ends that is applied part by part.
    """
    decisions = evidence.decisions
    made = dict(one for pair, each in decisions.items() if (one := each.edge(pair)) is not None)
    spans = {**evidence.edges, **made} if made else evidence.edges
    separated = {pair for pair, one in decisions.items() if one.kind == DecisionKind.SEPARATE}
    identifiers, first_seen = evidence.identifiers, evidence.first_seen
    nodes = {id_: node_of(identifiers[id_], first) for id_, first in first_seen.items()}
    found = resolve(nodes, spans, separated, policy)
    contested: set[IdentifierId] = {id_ for pair in separated for id_ in pair}
    for edge, why in found.held.items():
        if why.is_cross_profile:
            contested.update(edge[:2])
    return FullResolution(
        workspace_id, evidence, found, spans, contested, sorted(first_seen), sorted(spans)
    )
