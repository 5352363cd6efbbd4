"""Stores the current memberships, and compares those of two schemas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from services.chassis.postgres.database import Queries
from services.kernel.ids import ProfileId, WorkspaceId, shard_of
from services.segment.domain.model import MembershipCause, MembershipChange, SegmentMember

Q = Queries.load(__package__, "memberships.sql")
_LOAD_MEMBERSHIPS = Q.load_memberships.replace("{schema}", "")


class MembershipDifference(NamedTuple):
    """A membership that exists in one of two schemas, as a change from the old to the new."""

    change: MembershipChange
    #: Whether the profile exists in the new schema.
    profile_exists: bool


async def load_memberships(
    conn: asyncpg.Connection, profiles: Sequence[ProfileId], *, schema: str = ""
) -> dict[ProfileId, frozenset[str]]:
    """Return the segments of each of these profiles; `schema` empty = the search path."""
    statement = _LOAD_MEMBERSHIPS
    if schema:
        statement = Q.load_memberships.replace("{schema}", f"{schema}.")
    segments: dict[ProfileId, set[str]] = {}
    for row in await conn.fetch(statement, profiles):
        segments.setdefault(row["profile_id"], set()).add(row["segment_id"])
    return {profile: frozenset(ids) for profile, ids in segments.items()}


async def load_members(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, segment_id: str
) -> list[SegmentMember]:
    """Return the members of a segment."""
    rows = await conn.fetch(Q.load_members, workspace_id, segment_id)
    return [
        SegmentMember(
            workspace_id, segment_id, row["segment_version"], row["profile_id"], row["since_us"]
        )
        for row in rows
    ]


async def save_changes(
    conn: asyncpg.Connection, changes: Sequence[MembershipChange], shards: int
) -> None:
    """Add and delete the memberships of profiles that enter and leave."""
    left = [c for c in changes if not c.entered]
    if left:
        await conn.execute(
            Q.delete_memberships, [c.profile_id for c in left], [c.segment_id for c in left]
        )
    entered = [c for c in changes if c.entered]
    if entered:
        await conn.execute(
            Q.add_memberships,
            [shard_of(c.profile_id, shards) for c in entered],
            [c.workspace_id for c in entered],
            [c.segment_id for c in entered],
            [c.profile_id for c in entered],
            [c.segment_version for c in entered],
            [c.changed_at_us for c in entered],
        )


async def load_difference(
    conn: asyncpg.Connection, live: str, new: str, default_us: int
) -> list[MembershipDifference]:
    """Return the memberships that exist in one of two schemas only, by profile and segment.

    A change has the instant of the profile's evaluation in `new`, or `default_us`.
    """
    statement = Q.load_difference.replace("{live}", live).replace("{new}", new)
    rows = await conn.fetch(statement, default_us)
    return [
        MembershipDifference(
            MembershipChange(
                WorkspaceId(row["workspace_id"]),
                row["segment_id"],
                row["segment_version"],
                ProfileId(row["profile_id"]),
                row["entered"],
                row["changed_at_us"],
                MembershipCause.RULE,
            ),
            row["profile_exists"],
        )
        for row in rows
    ]


async def carry_over_memberships(
    conn: asyncpg.Connection, live: str, new: str, changes: Sequence[MembershipChange] = ()
) -> None:
    """Let the members in `new` keep their entries in `live`, or take those of the changes."""
    statement = Q.carry_over_memberships.replace("{live}", live).replace("{new}", new)
    await conn.execute(statement)
    entered = [c for c in changes if c.entered]
    await conn.execute(
        Q.set_since.replace("{new}", new),
        [c.profile_id for c in entered],
        [c.segment_id for c in entered],
        [c.changed_at_us for c in entered],
    )
