"""Loads and saves policies, and pages through the profiles that a policy is rolled out to."""

from __future__ import annotations

from typing import NamedTuple

import asyncpg

from services.chassis.postgres.database import Queries
from services.identity.codec.policy import PolicyFact, read_policy
from services.identity.domain.policy import DEFAULT, Policy
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.tokens import Token

Q = Queries.load(__package__, "policy.sql")

#: The name of the backfill that rolls out a policy.
ROLLOUT = "identity_policy"


class RolloutPage(NamedTuple):
    """Some profiles to roll a policy out to."""

    profiles: list[ProfileId]
    #: The last identifier of the page; None where there are no more.
    cursor: bytes | None


async def save_policy(conn: asyncpg.Connection, shard: int, policy: PolicyFact) -> bool:
    """Save a policy; return whether it is new and the newest."""
    return bool(
        await conn.fetchval(
            Q.save_policy,
            policy.workspace_id,
            policy.version,
            policy.message,
            shard,
            policy.offset,
            policy.recorded_at_us,
        )
    )


async def newest_policy(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, as_of: Token | None = None
) -> Policy:
    """Return the policy of a workspace, now or as of a token."""
    for message, version, shard, offset in await conn.fetch(Q.load_policies, workspace_id):
        if as_of is None or offset < as_of.offset(shard):
            return read_policy(message, version)
    return DEFAULT


async def load_rollout_page(
    conn: asyncpg.Connection, shard: int | None, workspace_id: WorkspaceId, cursor: bytes, size: int
) -> RolloutPage:
    """Return the profiles among the next `size` identifiers of a shard (None = of all), after a
    cursor."""
    rows = await conn.fetch(Q.load_rollout_page, shard, cursor, workspace_id, size)
    profiles = [ProfileId(id_) for id_, is_profile in rows if is_profile]
    return RolloutPage(profiles, rows[-1]["identifier_id"] if len(rows) == size else None)
