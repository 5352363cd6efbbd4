"""Joins profiles by probable matches that are accepted for a purpose, and lists matches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg

from services.identity.domain.evidence import Edge, EvidenceKind, Pair, SeenSpan, span_of
from services.identity.domain.resolution import link_components, node_of
from services.identity.domain.rows import ProfileGraph
from services.identity.projection.reader import StateReader
from services.identity.store import matches
from services.identity.store.evidence import PostgresEvidence
from services.identity.store.policy import newest_policy
from services.identity.store.profiles import lookup_profiles
from services.kernel.errors import TooLarge
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId

#: Matches link after all other evidence.
_PROBABLE = EvidenceKind.CLAIMED + 1
#: The most identifiers of profiles that matches join.
MAX_MEMBERS = 20_000
_BEFORE_ALL = Pair(IdentifierId(b""), IdentifierId(b""))


class MatchQueries:
    """Lists the probable matches of a workspace."""

    def __init__(self, reader: StateReader) -> None:
        self._reader = reader

    async def list_matches(
        self,
        workspace_id: WorkspaceId,
        assessment: int | None = None,
        after: Pair | None = None,
        limit: int = 50,
    ) -> Sequence[tuple[Pair, bytes]]:
        """Return matches after a pair, in order, each with its serialised MatchAssessed; of one
        assessment, or of all."""
        async with self._reader.snapshot() as conn:
            found = (workspace_id, assessment, after or _BEFORE_ALL, limit)
            return await matches.list_matches(conn, *found)


async def join_probable(
    conn: asyncpg.Connection,
    workspace_id: WorkspaceId,
    found: Mapping[IdentifierId, ProfileId],
    purpose: str,
) -> dict[IdentifierId, ProfileId]:
    """Return profiles joined by the matches that are accepted for a purpose, never against a limit
    or a decision; inside a transaction that sees one state. Raises TooLarge."""
    store = PostgresEvidence(conn, shards=1)
    graph, matched = ProfileGraph(), dict[Edge, SeenSpan]()
    missing = set(found.values())
    while missing:
        graph.merge(await store.load_profiles(missing))
        accepted = await matches.load_accepted(conn, workspace_id, purpose, graph.members)
        matched |= {Edge(*pair, _PROBABLE): span_of(first) for pair, first in accepted.items()}
        ends = {id_ for edge in matched for id_ in edge[:2]} - graph.members.keys()
        missing = set((await lookup_profiles(conn, workspace_id, ends)).values())
        if len(graph.members) > MAX_MEMBERS:
            raise TooLarge("matches join too many identifiers", limit=str(MAX_MEMBERS))
    eligible = {edge: row.span for edge, row in graph.edges.items() if row.held is None}
    eligible |= {e: span for e, span in matched.items() if graph.members.keys() >= {e.a, e.b}}
    nodes = {id_: node_of(one.identifier, one.row.first) for id_, one in graph.members.items()}
    policy = await newest_policy(conn, workspace_id)
    joined = link_components(nodes, eligible, graph.separated, policy).profiles
    return {id_: joined[IdentifierId(profile_id)] for id_, profile_id in found.items()}
