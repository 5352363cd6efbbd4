"""Policies as they come, and people looked at anew by them, some at a time.

The first worker that hears of a policy keeps it for all, and from then on everything that is learnt
goes by it. People about whom nothing is learnt are looked at in turns with what comes: each shard
walks over the profiles whose ids lie in it. Readers see whole people all the time, settled by the
one policy or the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import asyncpg
import structlog

from services.chassis.postgres.database import Queries
from services.identity.codec.bus import PolicyFact
from services.kernel.ids import ProfileId, WorkspaceId

Q = Queries.load("services.identity.store")
log = structlog.get_logger(__name__)

#: Identifiers that are walked over with one batch.
PACE = 2_000


class Step(NamedTuple):
    """Some people of a shard that are looked at anew."""

    shard: int
    workspace_id: WorkspaceId
    version: int
    profiles: Sequence[ProfileId]
    #: The last identifier that was walked over; empty where that was all.
    cursor: bytes

    async def end(self, conn: asyncpg.Connection) -> None:
        """Take note of where the shard stands. Last of all in a transaction: whoever defines a
        policy waits for it."""
        at = (self.shard, self.workspace_id, self.version)
        if self.cursor:
            await conn.execute(Q.move_cursor, *at, self.cursor)
        else:
            await conn.execute(Q.end_resettling, *at)
            log.info("people_resettled", shard=self.shard, version=self.version)


async def next_step(conn: asyncpg.Connection, shard: int, pace: int = PACE) -> Step | None:
    """The people to look at next in a shard; None where nobody has to be."""
    row = await conn.fetchrow(Q.resettling, shard)
    if row is None:
        return None
    workspace, version, cursor = row
    rows = await conn.fetch(Q.next_people, shard, cursor, workspace, pace)
    profiles = [id_ for id_, is_one in rows if is_one]
    return Step(shard, workspace, version, profiles, rows[-1][0] if len(rows) == pace else b"")


async def fold_policies(
    conn: asyncpg.Connection,
    shard: int,
    shards: int,
    told: Iterable[PolicyFact],
    *,
    anew: bool = True,
) -> None:
    """Keep policies; where one is the newest, everybody is looked at anew."""
    for policy in told:
        if await save_policy(conn, shard, policy) and anew:
            await conn.execute(Q.begin_resettling, policy.workspace_id, shards, policy.version)
            log.info("policy_defined", version=policy.version)


async def save_policy(conn: asyncpg.Connection, shard: int, policy: PolicyFact) -> bool:
    """Keep a policy; answers whether it is now the newest and was not known."""
    workspace, version, message, offset, recorded_at_us = policy
    found = await conn.fetchval(
        Q.save_policy, workspace, version, message, shard, offset, recorded_at_us
    )
    return bool(found)


async def is_resettling(conn: asyncpg.Connection, workspace_id: WorkspaceId | None = None) -> bool:
    """Whether people still have to be looked at by their policy."""
    return bool(await conn.fetchval(Q.count_resettling, workspace_id))
