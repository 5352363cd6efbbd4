"""Probable matches: a layer of its own, beside who is whom. Nothing else depends on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import asyncpg

from services.chassis.postgres.database import Queries
from services.identity.codec.bus import MatchTold
from services.identity.domain.evidence import Edge, First, Pair, Strength
from services.identity.domain.linking import bind
from services.identity.domain.neighbourhood import node_of
from services.identity.domain.normalize import named
from services.identity.domain.rows import Region
from services.identity.projection.evidence_cache import Memory
from services.identity.queries.explain import newest_policy
from services.identity.store.postgres import PostgresTables
from services.kernel.digest import row_digest
from services.kernel.errors import TooLarge
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId, shard_of

Q = Queries.load("services.identity.store")
#: Taken after all that was seen.
_PROBABLE = Strength.BESIDE + 1
#: Identifiers of people that matches join.
MOST_MEMBERS = 20_000


async def fold_matches(
    conn: asyncpg.Connection, shards: int, memory: Memory, told: Iterable[MatchTold]
) -> dict[str, int]:
    """Keep the latest judgement of each pair; answers what is added to the digests."""
    latest: dict[Pair, MatchTold] = {}
    for match in told:
        region = memory.regions.of(match.workspace_id)
        ids = sorted(named(match.workspace_id, match.identifiers, region))
        if len(ids) == 2:
            pair = Pair(*ids)
            if pair not in latest or latest[pair].at < match.at:
                latest[pair] = match
    if not latest:
        return {}
    rows = await conn.fetch(Q.load_matches, [p.a for p in latest], [p.b for p in latest])
    kept = {Pair(a, b): (First(at, fact), message) for a, b, at, fact, message in rows}
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


def _columns(match: MatchTold) -> tuple[object, ...]:
    purposes = "\n".join(match.purposes)
    return (match.workspace_id, *match.at, match.judgement, purposes, match.message)


def _share(pair: Pair, at: First, message: bytes) -> int:
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
    tables = PostgresTables(conn, shards=1)
    region, matched = Region(), dict[Edge, First]()
    missing = set(found.values())
    while missing:
        near = await tables.region(missing)
        region.join(near)
        rows = await conn.fetch(Q.matches_of, workspace_id, purpose, list(near.members))
        matched |= {Edge(a, b, _PROBABLE): First(at, fact) for a, b, at, fact in rows}
        ends = {id_ for edge in matched for id_ in edge[:2]} - region.members.keys()
        missing = set((await tables.profiles(ends)).values()) if ends else set()
        if len(region.members) > MOST_MEMBERS:
            raise TooLarge("too many are joined by matches", limit=str(MOST_MEMBERS))
    eligible = [(edge, row.span.first) for edge, row in region.edges.items() if row.held is None]
    eligible += [(edge, at) for edge, at in matched.items() if region.members.keys() >= {*edge[:2]}]
    nodes = {id_: node_of(member) for id_, member in region.members.items()}
    policy = await newest_policy(conn, workspace_id)
    joined, _ = bind(nodes, eligible, region.separated, policy)
    return {id_: joined[IdentifierId(profile)] for id_, profile in found.items()}
