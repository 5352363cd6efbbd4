"""Re-evaluates the profiles of a workspace after its definitions have changed, page by page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import asyncpg

from services.chassis.projection.backfill import BackfillJob, BackfillStep
from services.chassis.projection.checkpoint import Checkpoint
from services.segment.domain.membership import ActiveSegments
from services.segment.domain.model import MembershipCause, MembershipChange
from services.segment.projection.changes import decide, digest_deltas, publish, save_numbered
from services.segment.store.evaluations import load_evaluations, load_profile_page, lock_profiles

#: The name of the backfill job.
REEVALUATION = "reevaluation"
#: Profiles in one step.
PAGE = 1_000


async def reevaluate_page(
    conn: asyncpg.Connection,
    load_segments: Callable[[asyncpg.Connection], Awaitable[ActiveSegments]],
    job: BackfillJob,
    at: Checkpoint,
    shards: int,
) -> tuple[BackfillStep, list[MembershipChange]]:
    """Re-evaluate the profiles after the job's cursor; return the step and its changes."""
    page = await load_profile_page(conn, job.shard, job.workspace_id, job.cursor, PAGE)
    await lock_profiles(conn, page)
    evaluations = list((await load_evaluations(conn, page)).values())
    segments = await load_segments(conn)
    changes = await decide(conn, evaluations, segments, MembershipCause.DEFINITION)
    # The evaluations are older than the definition that changes the memberships.
    now_us = at.log_time_us
    changes = [replace(c, changed_at_us=max(c.changed_at_us, now_us)) for c in changes]
    changes = await save_numbered(conn, changes, shards)
    is_last = len(page) < PAGE
    outputs = []
    if changes or is_last:
        # Until the last page is published, no consumer may take the definition for carried out.
        log_offset = job.log_offset_at_end if is_last else at.log_offset
        output = await publish(
            conn, job.shard, at.next_output, changes, log_offset=log_offset, log_time_us=now_us
        )
        outputs.append(output)
    cursor = None if is_last else page[-1]
    return BackfillStep(cursor, tuple(outputs), digest_deltas(changes)), changes
