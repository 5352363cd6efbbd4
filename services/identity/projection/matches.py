"""Probable matches: a layer of its own, beside who is whom. Nothing else depends on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import asyncpg

from services.chassis.postgres.database import Queries
from services.identity.codec.bus import MatchFact
from services.identity.domain.evidence import Edge, EvidenceKind, FirstSeen, Pair
from services.identity.domain.linking import link_components
from services.identity.domain.neighbourhood import node_of
from services.identity.domain.normalize import normalize_pair
from services.identity.domain.rows import ProfileGraph
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.queries.explain import newest_policy
from services.identity.store.postgres import PostgresEvidence
from services.kernel.digest import row_digest
from services.kernel.errors import TooLarge
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId, shard_of

Q = Queries.load("services.identity.store")
#: Taken after all that was seen.
_PROBABLE = EvidenceKind.CO_OBSERVED + 1
#: Identifiers of people that matches join.
MOST_MEMBERS = 20_000


async def fold_matches(
    conn: asyncpg.Connection, shards: int, memory: EvidenceCache, told: Iterable[MatchFact]
) -> dict[str, int]:
    """Keep the latest judgement of each pair; answers what is added to the digests."""
    latest: dict[Pair, MatchFact] = {}
    for match in told:
        region = memory.regions.of(match.workspace_id)
        ids = sorted(normalize_pair(match.workspace_id, match.identifiers, region))
        if len(ids) == 2:
            pair = Pair(*ids)
            if pair not in latest or latest[pair].at < match.at:
                latest[pair] = match
    if not latest:
        return {}
    rows = await conn.fetch(Q.load_matches, [p.a for p in latest], [p.b for p in latest])
    kept = {Pair(a, b): (FirstSeen(at, fact), message) for a, b, at, fact, message in rows}
    deltas: Counter[str] = Counter()
    saved = []
    for pair, match in latest.items():
        before = kept.get(pair)
        if before is not None and before[0] >= match.at:
            continue
        deltas[match.workspace_id] += _share(pair, match.at, match.message)
        deltas[match.workspace_id] -= _share(pair, *before) if before else 0
        saved.append((shard_of(pair.a, shards), *pair, *_columns(match)))
    if saved:
        await conn.execute(Q.save_matches, *map(list, zip(*saved, strict=True)))
    return dict(deltas)


def _columns(match: MatchFact) -> tuple[object, ...]:
    purposes = "\n".join(match.purposes)
    return (match.workspace_id, *match.at, match.assessment, purposes, match.message)


def _share(pair: Pair, at: FirstSeen, message: bytes) -> int:
    when = at.occurred_at_us.to_bytes(8, "big", signed=True)
    return row_digest(b"match", pair.a, pair.b, when, at.fact_id, message)


async def join_probable(
    conn: asyncpg.Connection,
    workspace_id: WorkspaceId,
    found: Mapping[IdentifierId, ProfileId],
    purpose: str,
) -> dict[IdentifierId, ProfileId]:
    """The profiles found, joined by the matches that were accepted for a purpose; inside a
    transaction that sees one state. Never against a limit or a decision. Raises TooLarge."""
    tables = PostgresEvidence(conn, shards=1)
    region, matched = ProfileGraph(), dict[Edge, FirstSeen]()
    missing = set(found.values())
    while missing:
        near = await tables.load_profiles(missing)
        region.merge(near)
        rows = await conn.fetch(Q.matches_of, workspace_id, purpose, list(near.members))
        matched |= {Edge(a, b, _PROBABLE): FirstSeen(at, fact) for a, b, at, fact in rows}
        ends = {id_ for edge in matched for id_ in edge[:2]} - region.members.keys()
        missing = set((await tables.profiles(ends)).values()) if ends else set()
        if len(region.members) > MOST_MEMBERS:
            raise TooLarge("too many are joined by matches", limit=str(MOST_MEMBERS))
    eligible = [(edge, row.span.first) for edge, row in region.edges.items() if row.held is None]
    eligible += [(edge, at) for edge, at in matched.items() if region.members.keys() >= {*edge[:2]}]
    nodes = {id_: node_of(member) for id_, member in region.members.items()}
    policy = await newest_policy(conn, workspace_id)
    joined, _ = link_components(nodes, eligible, region.separated, policy)
    return {id_: joined[IdentifierId(profile)] for id_, profile in found.items()}
