"""Reads segments, their members, the memberships of a profile, and previews."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.backfill import is_backfilling
from services.chassis.projection.checkpoint import load_checkpoints
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.journeys.inputs import MEMBERSHIP_PREFIX
from services.kernel.tokens import Token
from services.segment.domain.membership import membership_changes
from services.segment.domain.model import MembershipChange, ProfileEvaluation, SegmentDefinition
from services.segment.projection.changes import REEVALUATION
from services.segment.store import definitions, memberships
from services.segment.store.evaluations import load_evaluations


class SegmentStatus(NamedTuple):
    """A segment and its current members."""

    definition: SegmentDefinition
    size: int
    #: Whether the members follow from the definition and the whole log.
    is_live: bool


async def list_segments(
    database: Database, shards: int, workspace_id: WorkspaceId
) -> tuple[list[SegmentStatus], list[SegmentStatus]]:
    """Return the segments of a workspace, and the values of its tags and stages, by id."""
    async with (
        acquire(database.api_pool) as conn,
        conn.transaction(isolation="repeatable_read", readonly=True),
    ):
        defined = await definitions.load_definitions(conn, workspace_id)
        followed = await definitions.load_followed(conn, workspace_id)
        rows = await conn.fetch(memberships.Q.count_members, workspace_id)
        ready = await definitions.count_ready_shards(conn)
        is_sweeping = await is_backfilling(conn, REEVALUATION, workspace_id)
    sizes = {row["segment_id"]: row["size"] for row in rows}
    status = {
        rules.segment_id: SegmentStatus(
            rules,
            sizes.get(rules.segment_id, 0),
            not is_sweeping and definitions.is_backfilled(rules, ready, shards),
        )
        for rules in followed
    }
    # A segment is listed as it is defined, with references.
    segments = [status.pop(d.segment_id)._replace(definition=d) for d in defined]
    tags = [status[id_] for id_ in sorted(status) if not id_.startswith(MEMBERSHIP_PREFIX)]
    return segments, [tag for tag in tags if not tag.definition.retired]


async def list_members(
    database: Database,
    workspace_id: WorkspaceId,
    segment_id: str,
    *,
    after: bytes,
    limit: int,
    as_of_us: int = 0,
    as_of: Token | None = None,
) -> list[asyncpg.Record]:
    """Return profile_id and since_us (Unix microseconds of the log's clock) of members.

    They are the next ones after a profile id, by profile id; `as_of_us` 0 = now. `as_of`: a token
    that was reached: the members as they were known in the first state that included it.
    """
    page = (workspace_id, segment_id, after, limit)
    async with acquire(database.api_pool) as conn:
        if as_of is not None:
            statement = memberships.Q.list_members_as_of_token
            return await conn.fetch(statement, *page, as_of.offsets)
        if as_of_us:
            return await conn.fetch(memberships.Q.list_members_as_of, *page, as_of_us)
        return await conn.fetch(memberships.Q.list_members, *page)


_CHANGES = memberships.Q.load_changes_of_profile


class ProfileMemberships(NamedTuple):
    """The memberships of one profile."""

    segment_ids: frozenset[str]
    #: Every published change, oldest first.
    changes: list[MembershipChange]
    #: The log's clock, Unix microseconds.
    now_us: int


async def memberships_of(
    database: Database, workspace_id: WorkspaceId, profile_id: ProfileId
) -> ProfileMemberships:
    """Return the current segments of a profile, and every published change."""
    async with acquire(database.api_pool) as conn:
        segments = await memberships.load_memberships(conn, [profile_id])
        rows = await conn.fetch(_CHANGES, workspace_id, profile_id, None)
        checkpoints = await load_checkpoints(conn)
    changes = list(map(memberships.change_from_row, rows))
    now_us = max(at.log_time_us for at in checkpoints)
    return ProfileMemberships(segments.get(profile_id, frozenset()), changes, now_us)


async def last_changes(
    database: Database, workspace_id: WorkspaceId, profile_id: ProfileId
) -> list[MembershipChange]:
    """Return the last change of a profile in each segment, value of a tag and stage, by id."""
    async with acquire(database.api_pool) as conn:
        rows = await conn.fetch(_CHANGES, workspace_id, profile_id, 1)
    changes = map(memberships.change_from_row, rows)
    own = [one for one in changes if not one.segment_id.startswith(MEMBERSHIP_PREFIX)]
    return sorted(own, key=lambda change: change.segment_id)


async def preview_memberships(
    database: Database,
    shards: int,
    workspace_id: WorkspaceId,
    evaluations: Sequence[ProfileEvaluation],
) -> list[MembershipChange]:
    """Return the changes that would be published for hypothetical evaluations; write nothing."""
    merged_into = {e.merged_into for e in evaluations if e.merged_into is not None}
    profiles = sorted({e.profile_id for e in evaluations} | merged_into)
    async with (
        acquire(database.api_pool) as conn,
        conn.transaction(isolation="repeatable_read", readonly=True),
    ):
        segments = await definitions.load_active_segments(conn, shards)
        stored = await load_evaluations(conn, profiles)
        own = [p for p, evaluation in stored.items() if evaluation.workspace_id == workspace_id]
        current = await memberships.load_memberships(conn, own)
    changes = membership_changes(evaluations, current, segments)
    return [c for c in changes if not c.segment_id.startswith(MEMBERSHIP_PREFIX)]
