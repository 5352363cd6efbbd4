"""Decides, saves and publishes membership changes.

After a workspace's definitions have changed, its profiles are re-evaluated page by page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import asyncpg

from services.chassis.messaging.stream import OutboxMessage
from services.chassis.projection.backfill import BackfillJob, BackfillStep
from services.chassis.projection.checkpoint import Checkpoint
from services.chassis.runtime.cpu import UNCOUNTED, ItemWatch
from services.kernel.digest import MODULUS, row_digest
from services.segment.codec.bus import encode_memberships_changed
from services.segment.domain.membership import ActiveSegments, membership_changes
from services.segment.domain.model import MembershipCause, MembershipChange, ProfileEvaluation
from services.segment.store import memberships as store
from services.segment.store.evaluations import load_evaluations, load_profile_page, lock_profiles

#: The name of the backfill job.
REEVALUATION = "reevaluation"


async def decide(
    conn: asyncpg.Connection,
    evaluations: Sequence[ProfileEvaluation],
    segments: ActiveSegments,
    cause: MembershipCause = MembershipCause.RULE,
    watch: ItemWatch = UNCOUNTED,
) -> list[MembershipChange]:
    """Return the changes that follow from evaluations; the profiles must be locked."""
    merged_into = {e.merged_into for e in evaluations if e.merged_into is not None}
    profiles = sorted({e.profile_id for e in evaluations} | merged_into)
    memberships = await store.load_memberships(conn, profiles)

    def each(ordered: Iterable[ProfileEvaluation]) -> Iterable[ProfileEvaluation]:
        return watch.each(ordered, "profile", lambda e: {"workspace": e.workspace_id})

    return membership_changes(evaluations, memberships, segments, cause, each)


async def save_numbered(
    conn: asyncpg.Connection, changes: Sequence[MembershipChange], shards: int
) -> list[MembershipChange]:
    """Save changes; return them with ordinals, as they are to be published."""
    if not changes:
        return []
    numbered = await store.assign_ordinals(conn, changes)
    await store.save_changes(conn, numbered, shards)
    return numbered


async def publish(
    conn: asyncpg.Connection,
    shard: int,
    sequence: int,
    changes: Sequence[MembershipChange],
    broadcast_facts: Sequence[Any] = (),
    *,
    passed: bytes = b"",
    log_offset: int,
    log_time_us: int,
    reached_offset: int,
) -> OutboxMessage:
    """Add changes (with ordinals) and facts to the history; return the message for the outbox.

    `passed`: what is passed on for journeys. `reached_offset`: the offset in the log that the state
    had reached before.
    """
    await store.add_broadcast_facts(conn, shard, sequence, broadcast_facts)
    if changes:
        await store.add_changes(conn, shard, sequence, changes, reached_offset)
    if passed:
        await conn.execute(store.Q.add_passed, shard, sequence, passed)
    payload = encode_memberships_changed(
        shard,
        sequence,
        changes,
        broadcast_facts,
        passed,
        log_offset=log_offset,
        log_time_us=log_time_us,
    )
    return OutboxMessage(sequence, sequence + 1, payload)


async def reevaluate_page(
    conn: asyncpg.Connection,
    load_segments: Callable[[asyncpg.Connection], Awaitable[ActiveSegments]],
    job: BackfillJob,
    at: Checkpoint,
    shards: int,
) -> tuple[BackfillStep, list[MembershipChange]]:
    """Re-evaluate the profiles after the job's cursor; return the step and its changes."""
    page = await load_profile_page(conn, job.shard, job.workspace_id, job.cursor, job.most)
    job.pause()
    await lock_profiles(conn, page)
    evaluations = list((await load_evaluations(conn, page)).values())
    segments = await load_segments(conn)
    changes = await decide(conn, evaluations, segments, MembershipCause.DEFINITION)
    # The evaluations are older than the definition that changes the memberships.
    now_us = at.log_time_us
    changes = [c._replace(changed_at_us=max(c.changed_at_us, now_us)) for c in changes]
    changes = await save_numbered(conn, changes, shards)
    is_last = len(page) < job.most
    outputs = []
    if changes or is_last:
        # Until the last page is published, no consumer may take the definition for carried out.
        log_offset = job.log_offset_at_end if is_last else at.log_offset
        output = await publish(
            conn,
            job.shard,
            at.next_output,
            changes,
            log_offset=log_offset,
            log_time_us=now_us,
            reached_offset=at.log_offset,
        )
        outputs.append(output)
    cursor = None if is_last else page[-1]
    return BackfillStep(cursor, tuple(outputs), digest_deltas(changes)), changes


def membership_digest(workspace_id: str, segment_id: str, profile_id: bytes) -> int:
    """Return the share of one membership in the digest."""
    return row_digest("membership", workspace_id, segment_id, profile_id)


def digest_deltas(changes: Iterable[MembershipChange]) -> dict[str, int]:
    """Return what changes add to the digest of each workspace, modulo 2^128."""
    deltas: dict[str, int] = {}
    for change in changes:
        share = membership_digest(change.workspace_id, change.segment_id, change.profile_id)
        before = deltas.get(change.workspace_id, 0)
        deltas[change.workspace_id] = (before + (share if change.entered else -share)) % MODULUS
    return deltas
