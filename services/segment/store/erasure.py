"""Deletes what segment has of erased persons."""

from __future__ import annotations

from collections.abc import Collection

import asyncpg

from services.chassis.postgres.database import Queries
from services.kernel.erasures import PersonErasure
from services.kernel.ids import ProfileId
from services.segment.codec.erasure import passed_without
from services.segment.domain.model import MembershipCause, MembershipChange

Q = Queries.load(__package__, "erasure.sql")


async def delete_memberships(
    conn: asyncpg.Connection, profiles: Collection[ProfileId]
) -> list[MembershipChange]:
    """Delete the memberships of locked profiles; return them as exits, which are not published."""
    rows = await conn.fetch(Q.delete_memberships, list(profiles))
    return [
        MembershipChange(
            workspace_id=row["workspace_id"],
            segment_id=row["segment_id"],
            segment_version=row["segment_version"],
            profile_id=row["profile_id"],
            entered=False,
            changed_at_us=row["since_us"],
            cause=MembershipCause.DEFINITION,
        )
        for row in rows
    ]


async def delete_published(
    conn: asyncpg.Connection, shard: int, erasure: PersonErasure
) -> dict[str, int]:
    """Delete the history of a person, and what a shard has passed on of them; count both."""
    ids = list(erasure.ids)
    before = (erasure.workspace_id, ids, erasure.recorded_at_us)
    changes = await conn.fetchval(Q.delete_history, *before)
    passed = await conn.fetch(Q.load_passed_with, shard, ids)
    for sequence, payload in passed:
        await conn.execute(Q.replace_passed, shard, sequence, passed_without(payload, erasure.ids))
    return {"membership_changes": changes, "messages_changed": len(passed)}
