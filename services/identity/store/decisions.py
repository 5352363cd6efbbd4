"""Loads manual decisions for queries and commands."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import asyncpg

from services.chassis.postgres.database import Queries
from services.identity.domain.evidence import Decision, DecisionKind, FirstSeen, Pair
from services.identity.domain.explain import DecisionView
from services.identity.store.rows import identifier_of
from services.kernel.ids import FactId, IdentifierId, ProfileId, WorkspaceId

Q = Queries.load(__package__, "decisions.sql")


class CurrentDecision(NamedTuple):
    """The decision that counts for a pair."""

    fact_id: FactId
    kind: DecisionKind


async def load_decision(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, pair: Pair
) -> CurrentDecision | None:
    """Return the decision that counts for a pair."""
    row = await conn.fetchrow(Q.load_decision, *pair, workspace_id)
    return CurrentDecision(row["fact_id"], DecisionKind(row["kind"])) if row else None


async def load_link(conn: asyncpg.Connection, pair: Pair) -> Decision | None:
    """Return the decision on a pair, with its author and reason."""
    return _decision_of(await conn.fetchrow(Q.load_link, *pair))


async def load_separation(
    conn: asyncpg.Connection, one: ProfileId, other: ProfileId
) -> Decision | None:
    """Return the earliest decision that separates two profiles."""
    return _decision_of(await conn.fetchrow(Q.load_separation, one, other))


async def list_decisions(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, ids: Collection[bytes], most: int
) -> list[DecisionView]:
    """Return the decisions about some identifiers that apply, the latest first."""
    return [
        DecisionView(
            identifier_of(workspace_id, row["a_namespace"], row["a_value"]).identifier,
            identifier_of(workspace_id, row["b_namespace"], row["b_value"]).identifier,
            Decision(
                FirstSeen(row["occurred_at_us"], row["fact_id"]),
                *(row["kind"], row["actor"], row["reason"]),
            ),
        )
        for row in await conn.fetch(Q.list_decisions, workspace_id, list(ids), most)
    ]


async def load_decided_with(
    conn: asyncpg.Connection, ids: Collection[IdentifierId]
) -> set[IdentifierId]:
    """Return the identifiers that have a decision together with one of these."""
    rows = await conn.fetch(Q.load_decided_pairs, list(ids))
    return {id_ for row in rows for id_ in (row["a"], row["b"])}


def _decision_of(row: asyncpg.Record | None) -> Decision | None:
    if row is None:
        return None
    at = FirstSeen(row["occurred_at_us"], row["fact_id"])
    return Decision(at, row["kind"], row["actor"], row["reason"])
