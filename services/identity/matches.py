"""Probable matches: a layer of its own, beside who is whom. Nothing else depends on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import asyncpg

from services.chassis.database import Queries
from services.identity.domain.facts import First, Pair
from services.identity.domain.naming import named
from services.identity.memory import Memory
from services.identity.wire import MatchTold
from services.kernel.digest import row_digest
from services.kernel.ids import shard_of

Q = Queries.load(__package__)


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
