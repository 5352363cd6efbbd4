"""Folds assessments of probable matches, which no profile depends on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import asyncpg

from services.identity.codec.bus import MatchFact
from services.identity.domain.evidence import FirstSeen, Pair
from services.identity.domain.normalize import normalize_pair
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.store.matches import load_matches, save_matches
from services.kernel.digest import row_digest


async def fold_matches(
    conn: asyncpg.Connection, shards: int, cache: EvidenceCache, matches: Iterable[MatchFact]
) -> dict[str, int]:
    """Save the latest assessment of each pair, and return the changes of the digests."""
    latest: dict[Pair, MatchFact] = {}
    for match in matches:
        region = cache.regions.of(match.workspace_id)
        found = normalize_pair(match.workspace_id, match.identifiers, region, cache.index_key)
        ids = sorted(found)
        if len(ids) == 2:
            pair = Pair(*ids)
            if pair not in latest or latest[pair].at < match.at:
                latest[pair] = match
    if not latest:
        return {}
    stored = await load_matches(conn, latest.keys())
    deltas: Counter[str] = Counter()
    saved: dict[Pair, MatchFact] = {}
    for pair, match in latest.items():
        before = stored.get(pair)
        if before is not None and before.at >= match.at:
            continue
        deltas[match.workspace_id] += match_share(pair, match.at, match.message)
        if before is not None:
            deltas[match.workspace_id] -= match_share(pair, before.at, before.message)
        saved[pair] = match
    if saved:
        await save_matches(conn, saved, shards)
    return dict(deltas)


def match_share(pair: Pair, at: FirstSeen, message: bytes) -> int:
    """Return the share of a match's row in the digest."""
    time = at.occurred_at_us.to_bytes(8, "big", signed=True)
    return row_digest(b"match", pair.a, pair.b, time, at.fact_id, message)
