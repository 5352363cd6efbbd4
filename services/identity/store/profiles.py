"""Reads identifiers and edges for queries."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import asyncpg

from services.chassis.postgres.database import Queries
from services.identity.domain.digest import partition_share
from services.identity.domain.evidence import Edge, EvidenceKind, FirstSeen, Pair, SeenSpan
from services.identity.domain.explain import ExplainedEdge, HeldCount, HeldEdgeView
from services.identity.domain.resolution import Node
from services.identity.domain.rows import AssignedProfile, ResolvedProfile, SeenIdentifier
from services.identity.store.policy import ROLLOUT
from services.identity.store.rows import edge_row_of, identifier_of
from services.kernel.digest import MODULUS
from services.kernel.errors import TooLarge
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId

Q = Queries.load(__package__, "profiles.sql")

#: Rows that a cursor fetches at once.
_PREFETCH = 5_000


@dataclass(slots=True)
class WorkspaceGraph:
    """All identifiers of a workspace with their profiles, and all evidence about them."""

    nodes: dict[IdentifierId, Node] = field(default_factory=dict)
    profiles: dict[IdentifierId, ProfileId] = field(default_factory=dict)
    edges: dict[Edge, SeenSpan] = field(default_factory=dict)
    separated: set[Pair] = field(default_factory=set)
    held_edges: int = 0


async def lookup_assignments(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, ids: Collection[bytes]
) -> dict[IdentifierId, AssignedProfile]:
    """Return the assignments of the identifiers of a workspace that are stored."""
    if not ids:
        return {}
    rows = await conn.fetch(Q.lookup_profiles, list(ids), workspace_id)
    return {id_: AssignedProfile(profile_id, version) for id_, profile_id, version in rows}


async def lookup_profiles(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, ids: Collection[bytes]
) -> dict[IdentifierId, ProfileId]:
    """Return the profiles of the identifiers of a workspace that are stored."""
    found = await lookup_assignments(conn, workspace_id, ids)
    return {id_: assigned.profile_id for id_, assigned in found.items()}


async def load_profile(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, id_: bytes
) -> ResolvedProfile | None:
    """Return the profile of an identifier; None where the workspace has no such identifier."""
    rows = await conn.fetch(Q.list_identifiers, id_, workspace_id)
    if not rows:
        return None
    identifiers = tuple(
        SeenIdentifier(
            row["identifier_id"],
            Identifier(row["namespace"], row["value"]),
            FirstSeen(row["first_seen_us"], row["first_fact"]),
        )
        for row in rows
        if row["namespace"] is not None
    )
    return ResolvedProfile(rows[0]["profile_id"], identifiers)


async def list_held(
    conn: asyncpg.Connection,
    workspace_id: WorkspaceId,
    reasons: Collection[int],
    weakest: int,
    after: Edge,
    limit: int,
) -> list[HeldEdgeView]:
    """Return the edges held for some reasons, no weaker than a kind, after an edge, in order."""
    arguments = (workspace_id, list(reasons), *after, limit, weakest)
    rows = await conn.fetch(Q.list_held, *arguments)
    return [_edge_view(workspace_id, row) for row in rows]


async def list_edges(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, ids: Collection[bytes], most: int
) -> list[HeldEdgeView]:
    """Return the edges of some identifiers, at most so many of each."""
    rows = await conn.fetch(Q.list_edges, workspace_id, list(ids), most)
    return [_edge_view(workspace_id, row) for row in rows]


def _edge_view(workspace_id: WorkspaceId, row: asyncpg.Record) -> HeldEdgeView:
    stored = edge_row_of(row)
    edge = ExplainedEdge(
        a=identifier_of(workspace_id, row["a_namespace"], row["a_value"]).identifier,
        b=identifier_of(workspace_id, row["b_namespace"], row["b_value"]).identifier,
        edge=Edge(row["a"], row["b"], row["kind"]),
        span=stored.span,
        held=stored.held,
    )
    return HeldEdgeView(edge, row["a_profile_id"], row["b_profile_id"])


async def count_held(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, reasons: Collection[int], most: int
) -> list[HeldCount]:
    """Return how many edges are held for some reasons, each counted up to `most`."""
    arguments = (workspace_id, list(reasons), list(EvidenceKind), most)
    rows = await conn.fetch(Q.count_held, *arguments)
    return [HeldCount(row["reason"], row["kind"], row["number"]) for row in rows]


async def load_workspace(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, most: int
) -> WorkspaceGraph:
    """Return all profiles of a workspace; needs a transaction that reads one state.

    `most`: identifiers and edges in total. Raises TooLarge.
    """
    graph = WorkspaceGraph()
    rows = conn.cursor(Q.read_identifiers, workspace_id, prefetch=_PREFETCH)
    async for id_, namespace, value, profile_id, first_seen_us, first_fact in rows:
        first = FirstSeen(first_seen_us, first_fact)
        _check_size(graph, most)
        graph.nodes[id_] = Node(namespace or "", value or "", first)
        graph.profiles[id_] = profile_id
    rows = conn.cursor(Q.read_edges, workspace_id, prefetch=_PREFETCH)
    async for a, b, kind, first_seen_us, first_fact, last_seen_day, held_reason in rows:
        _check_size(graph, most)
        span = SeenSpan(FirstSeen(first_seen_us, first_fact), last_seen_day)
        graph.edges[Edge(a, b, kind)] = span
        graph.held_edges += held_reason > 0
    async for a, b in conn.cursor(Q.read_separations, workspace_id, prefetch=_PREFETCH):
        graph.separated.add(Pair(a, b))
    return graph


def _check_size(graph: WorkspaceGraph, most: int) -> None:
    if len(graph.nodes) + len(graph.edges) >= most:
        raise TooLarge(
            f"the workspace has more than {most:,} identifiers and links between them, and a"
            " preview resolves all of them in memory: preview the policy in a workspace with a"
            " part of the data",
            limit=str(most),
        )


async def partition_digest(conn: asyncpg.Connection, workspace_id: WorkspaceId) -> int:
    """Return the digest of the profiles alone, whatever the evidence; inside a transaction."""
    total = 0
    rows = conn.cursor(Q.read_partition, workspace_id, prefetch=_PREFETCH)
    async for id_, profile_id in rows:
        total += partition_share(id_, profile_id)
    return total % MODULUS


async def count_rows(conn: asyncpg.Connection) -> dict[str, int]:
    """Return named counts for the status of the projection."""
    return dict(await conn.fetchrow(Q.count_rows, ROLLOUT) or {})
