"""Lists the members of a segment, and the memberships of a profile."""

from __future__ import annotations

from typing import NamedTuple

from services.chassis.postgres.database import Database, acquire
from services.kernel.ids import ProfileId, WorkspaceId
from services.segment.domain.model import MembershipChange
from services.segment.store import history, memberships


class ListedMember(NamedTuple):
    """A member, and when it entered (Unix microseconds of the log's clock)."""

    profile_id: ProfileId
    since_us: int


class ProfileMemberships(NamedTuple):
    """The current segments of a profile, and every published change."""

    segment_ids: frozenset[str]
    changes: list[MembershipChange]


async def list_members(
    database: Database,
    workspace_id: WorkspaceId,
    segment_id: str,
    *,
    after: bytes,
    limit: int,
    as_of_us: int = 0,
) -> list[ListedMember]:
    """Return members after a profile id, by profile id; `as_of_us` 0 = now."""
    async with acquire(database.pool) as conn:
        if as_of_us:
            statement = history.Q.list_members_as_of
            rows = await conn.fetch(statement, workspace_id, segment_id, after, limit, as_of_us)
        else:
            statement = memberships.Q.list_members
            rows = await conn.fetch(statement, workspace_id, segment_id, after, limit)
    return [ListedMember(row["profile_id"], row["since_us"]) for row in rows]


async def memberships_of(
    database: Database, workspace_id: WorkspaceId, profile_id: ProfileId
) -> ProfileMemberships:
    """Return the memberships of a profile and their changes, oldest first."""
    async with acquire(database.pool) as conn:
        segments = await memberships.load_memberships(conn, [profile_id])
        rows = await conn.fetch(history.Q.load_changes_of_profile, workspace_id, profile_id)
    changes = [history.change_from_row(row) for row in rows]
    return ProfileMemberships(segments.get(profile_id, frozenset()), changes)
