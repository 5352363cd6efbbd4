"""What rows add to the digest: one share for each identifier, edge and decision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from services.identity.domain.evidence import (
    Decision,
    Edge,
    EvidenceKind,
    FirstSeen,
    IdentifierInWorkspace,
    Pair,
)
from services.identity.domain.rows import EdgeRow, ReassignedIdentifier, ResolutionChanges
from services.kernel.digest import row_digest
from services.kernel.ids import IdentifierId, ProfileId


def deltas(
    changes: ResolutionChanges,
    names: Mapping[IdentifierId, IdentifierInWorkspace],
    moved: Iterable[ReassignedIdentifier],
) -> dict[str, int]:
    """What changes add to the digest of each workspace.

    `moved` tells the identifiers as they are once earlier evidence is kept.
    """
    sums: Counter[str] = Counter()
    workspaces = {id_: name.workspace_id for id_, name in names.items()}
    for id_, known in changes.added.items():
        sums[workspaces[id_]] += identifier_share(id_, known.profile_id, known.first)
    for id_, (row, first) in changes.earlier.items():
        change = identifier_share(id_, row.profile_id, first)
        sums[workspaces[id_]] += change - identifier_share(id_, row.profile_id, row.first)
    for id_, old_profile, profile, name, first in moved:
        change = identifier_share(id_, profile, first)
        sums[name.workspace_id] += change - identifier_share(id_, old_profile, first)
    for edge, (workspace, before, now) in changes.edges.items():
        sums[workspace] += edge_share(edge, now) if now else 0
        sums[workspace] -= edge_share(edge, before) if before else 0
    for pair, (old, new) in changes.decisions.items():
        change = decision_share(pair, new) - (decision_share(pair, old) if old else 0)
        sums[workspaces[pair.a]] += change
    return dict(sums)


def identifier_share(id_: IdentifierId, profile_id: ProfileId, first: FirstSeen) -> int:
    """The share of an identifier's row in the digest."""
    return row_digest(b"identifier", id_, profile_id, _at(first), first.fact_id)


def edge_share(edge: Edge, row: EdgeRow) -> int:
    """The share of an edge's row in the digest. What people decided has a share of its own."""
    first, last_day = row.span
    if edge.kind == EvidenceKind.DECIDED:
        return 0
    strength = edge.kind.to_bytes(1, "big")
    held = b"" if row.held is None else bytes([row.held.reason]) + row.held.namespace.encode()
    day = last_day.to_bytes(4, "big", signed=True)
    return row_digest(b"edge", edge.a, edge.b, strength, _at(first), first.fact_id, day, held)


def decision_share(pair: Pair, decision: Decision) -> int:
    """The share of a decision's row in the digest."""
    verdict = decision.kind.to_bytes(1, "big")
    return row_digest(b"decision", pair.a, pair.b, verdict, _at(decision.at), decision.at.fact_id)


def partition_share(id_: IdentifierId, profile_id: ProfileId) -> int:
    """The share of an identifier in the digest of who is whom, whatever the evidence."""
    return row_digest(b"partition", id_, profile_id)


def _at(first: FirstSeen) -> bytes:
    return first.occurred_at_us.to_bytes(8, "big", signed=True)
