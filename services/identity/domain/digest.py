"""Computes digests: one share for each identifier, edge and decision row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from services.identity.domain.changes import ReassignedIdentifier, ResolutionChanges
from services.identity.domain.evidence import (
    Decision,
    Edge,
    EvidenceKind,
    FirstSeen,
    IdentifierInWorkspace,
    Pair,
)
from services.identity.domain.rows import EdgeRow
from services.kernel.digest import row_digest
from services.kernel.ids import IdentifierId, ProfileId


def deltas(
    changes: ResolutionChanges,
    identifiers: Mapping[IdentifierId, IdentifierInWorkspace],
    reassigned: Iterable[ReassignedIdentifier],
) -> dict[str, int]:
    """Return what changes add to the digest of each workspace.

    `identifiers` has those of the evidence; `reassigned` includes those of merged profiles.
    """
    sums: Counter[str] = Counter()
    workspaces = {id_: one.workspace_id for id_, one in identifiers.items()}
    for id_, row in changes.added.items():
        sums[workspaces[id_]] += identifier_share(id_, row.profile_id, row.first)
    for id_, (row, first) in changes.earlier.items():
        change = identifier_share(id_, row.profile_id, first)
        sums[workspaces[id_]] += change - identifier_share(id_, row.profile_id, row.first)
    for one in reassigned:
        change = identifier_share(one.id, one.after, one.first)
        change -= identifier_share(one.id, one.before, one.first)
        sums[one.identifier.workspace_id] += change
    for edge, (workspace, before, after) in changes.edges.items():
        sums[workspace] += edge_share(edge, after) if after else 0
        sums[workspace] -= edge_share(edge, before) if before else 0
    for pair, (old, new) in changes.decisions.items():
        change = decision_share(pair, new) - (decision_share(pair, old) if old else 0)
        sums[workspaces[pair.a]] += change
    return dict(sums)


def identifier_share(id_: IdentifierId, profile_id: ProfileId, first: FirstSeen) -> int:
    """Return the share of an identifier's row in the digest."""
    return row_digest(b"identifier", id_, profile_id, _time(first), first.fact_id)


def edge_share(edge: Edge, row: EdgeRow) -> int:
    """Return the share of an edge's row in the digest; a decision has a separate share."""
    if edge.kind == EvidenceKind.DECIDED:
        return 0
    first, last_seen_day = row.span
    kind = edge.kind.to_bytes(1, "big")
    held = b"" if row.held is None else bytes([row.held.reason]) + row.held.namespace.encode()
    day = last_seen_day.to_bytes(4, "big", signed=True)
    return row_digest(b"edge", edge.a, edge.b, kind, _time(first), first.fact_id, day, held)


def decision_share(pair: Pair, decision: Decision) -> int:
    """Return the share of a decision's row in the digest."""
    kind = decision.kind.to_bytes(1, "big")
    return row_digest(b"decision", pair.a, pair.b, kind, _time(decision.at), decision.at.fact_id)


def partition_share(id_: IdentifierId, profile_id: ProfileId) -> int:
    """Return the share of an identifier in the digest of the profiles alone."""
    return row_digest(b"partition", id_, profile_id)


def _time(first: FirstSeen) -> bytes:
    return first.occurred_at_us.to_bytes(8, "big", signed=True)
