"""What rows add to the digest: one share for each identifier and one for each edge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from services.identity.domain.facts import Edge, First, Name
from services.identity.domain.model import Known, Moved, Outcome
from services.kernel.digest import row_digest
from services.kernel.ids import IdentifierId, ProfileId


def deltas(
    outcome: Outcome,
    names: Mapping[IdentifierId, Name],
    known: Mapping[IdentifierId, Known],
    known_edges: Mapping[Edge, First],
    moved: Iterable[Moved],
) -> dict[str, int]:
    """What an outcome adds to the digest of each workspace.

    `moved` tells the identifiers as they are once earlier evidence is kept.
    """
    sums: Counter[str] = Counter()
    for id_, first in outcome.added.items():
        sums[names[id_].workspace_id] += identifier_share(id_, outcome.profiles[id_], first)
    for id_, first in outcome.earlier.items():
        profile, before = known[id_]
        change = identifier_share(id_, profile, first) - identifier_share(id_, profile, before)
        sums[names[id_].workspace_id] += change
    for row in moved:
        change = identifier_share(row.identifier_id, row.after, row.first)
        change -= identifier_share(row.identifier_id, row.before, row.first)
        sums[row.name.workspace_id] += change
    for edge, first in outcome.added_edges.items():
        sums[names[edge.a].workspace_id] += edge_share(edge, first)
    for edge, first in outcome.earlier_edges.items():
        change = edge_share(edge, first) - edge_share(edge, known_edges[edge])
        sums[names[edge.a].workspace_id] += change
    return dict(sums)


def identifier_share(id_: IdentifierId, profile_id: ProfileId, first: First) -> int:
    """The share of an identifier's row in the digest."""
    at = first.occurred_at_us.to_bytes(8, "big", signed=True)
    return row_digest(b"identifier", id_, profile_id, at, first.fact_id)


def edge_share(edge: Edge, first: First) -> int:
    """The share of an edge's row in the digest."""
    at = first.occurred_at_us.to_bytes(8, "big", signed=True)
    strength = edge.strength.to_bytes(1, "big")
    return row_digest(b"edge", edge.a, edge.b, strength, at, first.fact_id)
