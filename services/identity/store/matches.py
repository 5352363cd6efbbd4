"""Loads and saves assessments of probable matches."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import asyncpg

from services.chassis.postgres.database import Queries
from services.identity.codec.bus import MatchFact
from services.identity.domain.evidence import FirstSeen, Pair
from services.identity.store.rows import columns_of
from services.kernel.ids import FactId, IdentifierId, WorkspaceId, shard_of

Q = Queries.load(__package__, "matches.sql")


class StoredMatch(NamedTuple):
    """The stored assessment of a pair."""

    at: FirstSeen
    #: A serialised MatchAssessed.
    message: bytes


class CurrentAssessment(NamedTuple):
    """The assessment that counts for a pair."""

    fact_id: FactId
    #: A serialised MatchAssessed.
    message: bytes


async def load_matches(
    conn: asyncpg.Connection, pairs: Collection[Pair]
) -> dict[Pair, StoredMatch]:
    """Return the stored assessments of pairs."""
    rows = await conn.fetch(Q.load_matches, *columns_of(pairs, 2))
    return {
        Pair(row["a"], row["b"]): StoredMatch(
            FirstSeen(row["occurred_at_us"], row["fact_id"]), row["message"]
        )
        for row in rows
    }


async def save_matches(
    conn: asyncpg.Connection, matches: Mapping[Pair, MatchFact], shards: int
) -> None:
    """Save assessments in place of earlier ones."""
    rows = []
    for pair, match in matches.items():
        key = (shard_of(pair.a, shards), *pair, match.workspace_id, *match.at)
        rows.append((*key, match.assessment, "\n".join(match.purposes), match.message))
    await conn.execute(Q.save_matches, *columns_of(rows, 9))


async def list_matches(
    conn: asyncpg.Connection,
    workspace_id: WorkspaceId,
    assessment: int | None,
    after: Pair,
    limit: int,
) -> list[tuple[Pair, bytes]]:
    """Return matches after a pair, in order, each with its serialised MatchAssessed."""
    rows = await conn.fetch(Q.list_matches, workspace_id, assessment, *after, limit)
    return [(Pair(row["a"], row["b"]), row["message"]) for row in rows]


async def load_assessments(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, pairs: Collection[Pair]
) -> dict[Pair, CurrentAssessment]:
    """Return the assessments that count for pairs."""
    rows = await conn.fetch(Q.load_assessments, *columns_of(pairs, 2), workspace_id)
    return {
        Pair(row["a"], row["b"]): CurrentAssessment(row["fact_id"], row["message"]) for row in rows
    }


async def load_accepted(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, purpose: str, ids: Collection[IdentifierId]
) -> dict[Pair, FirstSeen]:
    """Return the matches at some identifiers that are accepted for a purpose."""
    rows = await conn.fetch(Q.load_accepted, workspace_id, purpose, list(ids))
    return {
        Pair(row["a"], row["b"]): FirstSeen(row["occurred_at_us"], row["fact_id"]) for row in rows
    }
