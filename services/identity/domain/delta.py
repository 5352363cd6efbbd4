"""What is new in evidence, and what must not change while one decides about it."""

from __future__ import annotations

from collections.abc import Mapping

from services.identity.domain.rows import Evidence, IdentifierRow, StoredEvidence
from services.kernel.ids import IdentifierId, WorkspaceId


def new_evidence(evidence: Evidence, kept: StoredEvidence) -> Evidence:
    """The part of the evidence that is not known, or that is earlier or later than what is known.

    The spans of its edges hold what is known too.
    """
    fresh = Evidence()
    names = evidence.names
    for id_, first in evidence.identifiers.items():
        if id_ not in kept.identifiers or first < kept.identifiers[id_].first:
            fresh.identifiers[id_] = first
            fresh.names[id_] = names[id_]
    for edge, span in evidence.edges.items():
        known = kept.edges.get(edge)
        now = span if known is None else span.union(known.span)
        if known is None or now != known.span:
            fresh.edges[edge] = now
            fresh.names[edge.a] = names[edge.a]
            fresh.names[edge.b] = names[edge.b]
    for pair, decision in evidence.decisions.items():
        before = kept.decisions.get(pair)
        if before is None or before < decision:
            fresh.decisions[pair] = decision
            fresh.names[pair.a] = names[pair.a]
            fresh.names[pair.b] = names[pair.b]
    return fresh


def lock_set(fresh: Evidence, known: Mapping[IdentifierId, IdentifierRow]) -> set[bytes]:
    """What nobody else may change meanwhile: profiles, and identifiers that are not known."""
    return {known[id_].profile_id if id_ in known else id_ for id_ in fresh.names}


def split_by_workspace(evidence: Evidence) -> dict[WorkspaceId, Evidence]:
    """Evidence, cut by workspace: nobody belongs to two."""
    workspaces = {name.workspace_id for name in evidence.names.values()}
    if len(workspaces) <= 1:
        return dict.fromkeys(workspaces, evidence)
    parts = {workspace: Evidence() for workspace in workspaces}
    of = {id_: parts[name.workspace_id] for id_, name in evidence.names.items()}
    for id_, name in evidence.names.items():
        of[id_].names[id_] = name
    for id_, first in evidence.identifiers.items():
        of[id_].identifiers[id_] = first
    for edge, span in evidence.edges.items():
        of[edge.a].edges[edge] = span
    for pair, decision in evidence.decisions.items():
        of[pair.a].decisions[pair] = decision
    return parts
