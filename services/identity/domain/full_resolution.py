"""Resolves all evidence of a workspace at once, as the changes of an empty state."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from services.identity.domain.changes import EdgeChange, ResolutionChanges
from services.identity.domain.evidence import DecisionKind, Evidence
from services.identity.domain.fast_path import flags_of
from services.identity.domain.policy import Policy
from services.identity.domain.resolution import node_of, resolve
from services.identity.domain.rows import EdgeRow, IdentifierFlag, IdentifierRow
from services.kernel.ids import IdentifierId, WorkspaceId


def full_resolution(
    workspace_id: WorkspaceId, evidence: Evidence, policy: Policy
) -> ResolutionChanges:
    """Return every row that follows from all evidence of a workspace, in the order of their keys.

    The rows are those in which the same evidence ends that is applied part by part.
    """
    decisions = evidence.decisions
    made = (decision.edge(pair) for pair, decision in decisions.items())
    spans = {**evidence.edges, **dict(one for one in made if one is not None)}
    separated = {pair for pair, one in decisions.items() if one.kind == DecisionKind.SEPARATE}
    identifiers, first_seen = evidence.identifiers, evidence.first_seen
    nodes = {id_: node_of(identifiers[id_], first) for id_, first in first_seen.items()}
    found = resolve(nodes, spans, separated, policy)
    held, classes = found.held, found.co_occurrences
    contested: set[IdentifierId] = {id_ for pair in separated for id_ in pair}
    for edge, why in held.items():
        if why.is_cross_profile:
            contested.update(edge[:2])
    changes = ResolutionChanges(profiles=found.profiles)
    for id_ in sorted(first_seen):
        flags = flags_of(classes[id_]) if id_ in classes else 0
        if id_ in contested:
            flags |= IdentifierFlag.CONTESTED
        changes.added[id_] = IdentifierRow(found.profiles[id_], first_seen[id_], flags)
    for edge in sorted(spans):
        row = EdgeRow(spans[edge], held.get(edge))
        changes.edges[edge] = EdgeChange(workspace_id, None, row)
    changes.decisions = {pair: (None, decision) for pair, decision in decisions.items()}
    return changes


def pages(changes: ResolutionChanges, size: int) -> Iterator[ResolutionChanges]:
    """Yield the changes of an empty state in parts of at most `size` identifiers and edges each."""
    added, edges = iter(changes.added.items()), iter(changes.edges.items())
    decisions = changes.decisions
    for _ in range(0, max(len(changes.added), len(changes.edges)), size):
        part = ResolutionChanges(
            added=dict(islice(added, size)), edges=dict(islice(edges, size)), decisions=decisions
        )
        decisions = {}
        yield part
