"""A policy, tried on everybody: the whole evidence of a workspace in memory, settled anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import asyncpg

from services.chassis.postgres.database import Queries
from services.identity.domain.evidence import Edge, FirstSeen, Pair, SeenSpan
from services.identity.domain.linking import Node
from services.identity.domain.policy import Policy
from services.identity.domain.preview import PreviewTotals, Regrouping, regroupings, totals
from services.identity.domain.resolution import resolve
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId

Q = Queries.load("services.identity.store")
#: Rows that are read at once.
_PAGE = 5_000


@dataclass(slots=True)
class Everybody:
    """Who is whom in a workspace, and all evidence for it."""

    nodes: dict[IdentifierId, Node] = field(default_factory=dict)
    profiles: dict[IdentifierId, ProfileId] = field(default_factory=dict)
    edges: dict[Edge, SeenSpan] = field(default_factory=dict)
    separated: set[Pair] = field(default_factory=set)
    #: How much of the evidence does not bind.
    held: int = 0


async def load_everybody(conn: asyncpg.Connection, workspace_id: WorkspaceId) -> Everybody:
    """All of a workspace; inside a transaction that sees one state."""
    found = Everybody()
    rows = conn.cursor(Q.read_identifiers, workspace_id, prefetch=_PAGE)
    async for id_, namespace, value, profile, at, fact in rows:
        found.nodes[id_] = Node(namespace or "", value or "", FirstSeen(at, fact))
        found.profiles[id_] = profile
    rows = conn.cursor(Q.read_edges, workspace_id, prefetch=_PAGE)
    async for a, b, strength, at, fact, day, held in rows:
        found.edges[Edge(a, b, strength)] = SeenSpan(FirstSeen(at, fact), day)
        found.held += held > 0
    async for a, b in conn.cursor(Q.read_separations, workspace_id, prefetch=_PAGE):
        found.separated.add(Pair(a, b))
    return found


async def preview(
    everybody: Everybody, policy: Policy
) -> AsyncIterator[Regrouping | PreviewTotals]:
    """What a policy would come to; the sums last."""
    # It takes seconds where there are many; the shards of this process go on meanwhile.
    found, total = await asyncio.to_thread(_compare, everybody, policy)
    for regrouping in found:
        yield regrouping
    yield total


def _compare(everybody: Everybody, policy: Policy) -> tuple[list[Regrouping], PreviewTotals]:
    before = everybody.profiles
    settled = resolve(everybody.nodes, everybody.edges, everybody.separated, policy)
    total = totals(before, settled.profiles, everybody.held, len(settled.held))
    return list(regroupings(before, settled.profiles)), total
