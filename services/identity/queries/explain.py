"""Explains why two identifiers belong to one profile or to two, now or as of a past token."""

from __future__ import annotations

import asyncpg

from services.identity.domain.evidence import Edge, EvidenceKind, Pair
from services.identity.domain.explain import ExplainedEdge, Explanation, orient, shortest_path
from services.identity.domain.held import HeldReason
from services.identity.domain.rows import ProfileGraph
from services.identity.projection.reader import StateReader
from services.identity.queries.past import LeafLog, PastState
from services.identity.store.decisions import load_link, load_separation
from services.identity.store.evidence import PostgresEvidence
from services.identity.store.policy import newest_policy
from services.identity.store.profiles import lookup_profiles
from services.kernel.as_of import AsOf
from services.kernel.ids import IdentifierId, WorkspaceId
from services.kernel.tokens import Token

#: Identifiers that a search for a path reaches; those farther apart have none.
MAX_REACHED = 20_000


class ExplanationQueries:
    """Explains resolutions."""

    def __init__(self, reader: StateReader, log: LeafLog) -> None:
        self._reader = reader
        self._log = log

    async def explain(
        self,
        workspace_id: WorkspaceId,
        a: IdentifierId,
        b: IdentifierId,
        as_of: Token | None = None,
    ) -> Explanation:
        """Explain why two identifiers belong to one profile or to two; `as_of`: by the facts before
        a token. Raises TooLarge."""
        async with self._reader.snapshot() as conn:
            if as_of is None:
                return await _explain_now(conn, workspace_id, a, b)
            key = self._reader.index_key
            return await PastState(conn, self._log, workspace_id, AsOf(as_of), key).explain(a, b)


async def _explain_now(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, a: IdentifierId, b: IdentifierId
) -> Explanation:
    store = PostgresEvidence(conn, shards=1)
    profiles = await lookup_profiles(conn, workspace_id, (a, b))
    policy = await newest_policy(conn, workspace_id)
    graph, path = ProfileGraph(), list[Edge]()
    if len(profiles) == 2 and profiles[a] == profiles[b]:
        graph = await store.load_profiles({profiles[a]})
        active = (edge for edge, row in graph.edges.items() if row.held is None)
        path = shortest_path(active, a, b)
    elif len(profiles) == 2:
        graph, path = await _search(store, a, b)
    explained = {edge: await _explain_edge(conn, graph, edge) for edge in path}
    return Explanation(
        profile_a=profiles.get(a),
        profile_b=profiles.get(b),
        path=orient(path, a, explained),
        policy_version=policy.version,
    )


async def _search(
    store: PostgresEvidence, a: IdentifierId, b: IdentifierId
) -> tuple[ProfileGraph, list[Edge]]:
    """Return the shortest path over all evidence. The search runs from both ends, the smaller
    frontier first, so that it meets a hub in the middle and does not expand it."""
    graph = ProfileGraph()
    frontiers, reached = [{a}, {b}], [{a}, {b}]
    while all(frontiers) and sum(map(len, reached)) < MAX_REACHED:
        side = 0 if len(frontiers[0]) <= len(frontiers[1]) else 1
        adjacent = await store.load_edges(frontiers[side])
        graph.merge(adjacent)
        ends = {id_ for edge in adjacent.edges for id_ in edge[:2]}
        frontiers[side] = ends - reached[side]
        reached[side] |= ends
        if not frontiers[side].isdisjoint(reached[1 - side]):
            return graph, shortest_path(graph.edges, a, b)
    return graph, []


async def _explain_edge(conn: asyncpg.Connection, graph: ProfileGraph, edge: Edge) -> ExplainedEdge:
    row = graph.edges[edge]
    one, other = (graph.members.get(id_) or graph.outside[id_] for id_ in (edge.a, edge.b))
    decision = None
    if edge.kind == EvidenceKind.DECIDED:
        decision = await load_link(conn, Pair(edge.a, edge.b))
    elif row.held is not None and row.held.reason == HeldReason.SEPARATED:
        decision = await load_separation(conn, one.row.profile_id, other.row.profile_id)
    return ExplainedEdge(
        a=one.identifier.identifier,
        b=other.identifier.identifier,
        edge=edge,
        span=row.span,
        held=row.held,
        actor=decision.actor if decision else "",
        reason=decision.reason if decision else "",
    )
