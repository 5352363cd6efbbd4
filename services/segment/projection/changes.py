"""Decides, saves and publishes membership changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from services.chassis.messaging.stream import OutboxMessage
from services.kernel.digest import MODULUS, row_digest
from services.segment.codec.bus import encode_memberships_changed
from services.segment.domain.membership import ActiveSegments, membership_changes
from services.segment.domain.model import MembershipCause, MembershipChange, ProfileEvaluation
from services.segment.store.history import add_broadcast_facts, add_changes, assign_ordinals
from services.segment.store.memberships import load_memberships, save_changes


async def decide(
    conn: asyncpg.Connection,
    evaluations: Sequence[ProfileEvaluation],
    segments: ActiveSegments,
    cause: MembershipCause = MembershipCause.RULE,
) -> list[MembershipChange]:
    """Return the changes that follow from evaluations; the profiles must be locked."""
    merged_into = {e.merged_into for e in evaluations if e.merged_into is not None}
    profiles = sorted({e.profile_id for e in evaluations} | merged_into)
    memberships = await load_memberships(conn, profiles)
    return membership_changes(evaluations, memberships, segments, cause)


async def save_numbered(
    conn: asyncpg.Connection, changes: Sequence[MembershipChange], shards: int
) -> list[MembershipChange]:
    """Save changes; return them with ordinals, as they are to be published."""
    if not changes:
        return []
    numbered = await assign_ordinals(conn, changes)
    await save_changes(conn, numbered, shards)
    return numbered


async def publish(
    conn: asyncpg.Connection,
    shard: int,
    sequence: int,
    changes: Sequence[MembershipChange],
    broadcast_facts: Sequence[Any] = (),
    *,
    log_offset: int,
    log_time_us: int,
) -> OutboxMessage:
    """Add changes (with ordinals) and facts to the history; return the message for the outbox."""
    await add_broadcast_facts(conn, shard, sequence, broadcast_facts)
    if changes:
        await add_changes(conn, shard, sequence, changes)
    payload = encode_memberships_changed(
        shard, sequence, changes, broadcast_facts, log_offset=log_offset, log_time_us=log_time_us
    )
    return OutboxMessage(sequence, sequence + 1, payload)


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
