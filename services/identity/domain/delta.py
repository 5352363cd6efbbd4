"""Finds the new part of some evidence, and the profiles to lock while it is applied."""

from __future__ import annotations

from collections.abc import Mapping

from services.identity.domain.evidence import Evidence
from services.identity.domain.rows import IdentifierRow, StoredEvidence
from services.kernel.ids import IdentifierId, WorkspaceId


def new_evidence(evidence: Evidence, stored: StoredEvidence) -> Evidence:
    """Return the evidence that is not stored, or is earlier or later than the stored bounds.

    The spans of its edges include the stored spans.
    """
    new = Evidence()
    identifiers = evidence.identifiers
    for id_, first in evidence.first_seen.items():
        row = stored.identifiers.get(id_)
        if row is None or first < row.first:
            new.first_seen[id_] = first
            new.identifiers[id_] = identifiers[id_]
    for edge, span in evidence.edges.items():
        edge_row = stored.edges.get(edge)
        union = span if edge_row is None else span.union(edge_row.span)
        if edge_row is None or union != edge_row.span:
            new.edges[edge] = union
            new.identifiers[edge.a] = identifiers[edge.a]
            new.identifiers[edge.b] = identifiers[edge.b]
    for pair, decision in evidence.decisions.items():
        before = stored.decisions.get(pair)
        if before is None or before < decision:
            new.decisions[pair] = decision
            new.identifiers[pair.a] = identifiers[pair.a]
            new.identifiers[pair.b] = identifiers[pair.b]
    return new


def lock_set(new: Evidence, stored: Mapping[IdentifierId, IdentifierRow]) -> set[bytes]:
    """Return the ids to lock for new evidence: profiles, and identifiers that are not stored."""
    return {stored[id_].profile_id if id_ in stored else id_ for id_ in new.identifiers}


def split_by_workspace(evidence: Evidence) -> dict[WorkspaceId, Evidence]:
    """Split evidence by workspace; no edge or decision crosses workspaces."""
    workspaces = {one.workspace_id for one in evidence.identifiers.values()}
    if len(workspaces) <= 1:
        return dict.fromkeys(workspaces, evidence)
    parts = {workspace: Evidence() for workspace in workspaces}
    part_of = {id_: parts[one.workspace_id] for id_, one in evidence.identifiers.items()}
    for id_, identifier in evidence.identifiers.items():
        part_of[id_].identifiers[id_] = identifier
    for id_, first in evidence.first_seen.items():
        part_of[id_].first_seen[id_] = first
    for edge, span in evidence.edges.items():
        part_of[edge.a].edges[edge] = span
    for pair, decision in evidence.decisions.items():
        part_of[pair.a].decisions[pair] = decision
    return parts
