"""Previews the membership changes that hypothetical evaluations would lead to."""

from __future__ import annotations

from collections.abc import Sequence

from services.chassis.postgres.database import Database, acquire
from services.kernel.ids import WorkspaceId
from services.segment.domain.membership import membership_changes
from services.segment.domain.model import MembershipChange, ProfileEvaluation
from services.segment.store.definitions import load_active_segments
from services.segment.store.evaluations import load_evaluations
from services.segment.store.memberships import load_memberships


async def preview_memberships(
    database: Database,
    shards: int,
    workspace_id: WorkspaceId,
    evaluations: Sequence[ProfileEvaluation],
) -> list[MembershipChange]:
    """Return the changes that would be published; write nothing."""
    merged_into = {e.merged_into for e in evaluations if e.merged_into is not None}
    profiles = sorted({e.profile_id for e in evaluations} | merged_into)
    async with (
        acquire(database.pool) as conn,
        conn.transaction(isolation="repeatable_read", readonly=True),
    ):
        segments = await load_active_segments(conn, shards)
        stored = await load_evaluations(conn, profiles)
        own = [p for p, evaluation in stored.items() if evaluation.workspace_id == workspace_id]
        memberships = await load_memberships(conn, own)
    return membership_changes(evaluations, memberships, segments)
