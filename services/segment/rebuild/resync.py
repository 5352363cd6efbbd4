"""Publishes what changed while the old state was stalled, after a resync."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from services.chassis.access.tables import fold_access_facts
from services.chassis.messaging.stream import OutboxMessage
from services.chassis.projection.checkpoint import Checkpoint
from services.chassis.projection.rebuild import StateSwap
from services.chassis.rpc.clients import IdentityClient
from services.kernel.ids import ProfileId, WorkspaceId, shard_of
from services.segment.domain.membership import mark_merges
from services.segment.domain.model import MembershipChange, ProfileEvaluation
from services.segment.projection.changes import publish
from services.segment.store.definitions import bump_revision
from services.segment.store.history import assign_ordinals
from services.segment.store.memberships import (
    carry_over_memberships,
    load_difference,
    load_memberships,
)

#: Changes in one message.
PAGE = 2_000


async def publish_difference(
    conn: asyncpg.Connection,
    swap: StateSwap,
    facts: Mapping[int, Sequence[Any]],
    identity_client: IdentityClient,
) -> Mapping[int, Sequence[OutboxMessage]]:
    """Return the messages that publish the difference, by shard; see `Resync.difference`.

    Each membership that differs is published once, with the next ordinal: entries and exits in
    between were never published. The broadcast facts that the old state has not published come
    first, so that consumers know new destinations before the changes. `facts`: all of them.
    """
    changes = await assign_ordinals(conn, await _load_changes(conn, swap, identity_client))
    await carry_over_memberships(conn, swap.live, swap.new, changes)
    await bump_revision(conn)
    by_shard: dict[int, list[MembershipChange]] = defaultdict(list)
    for change in changes:
        by_shard[shard_of(change.profile_id, len(swap.after))].append(change)
    outputs: dict[int, Sequence[OutboxMessage]] = {}
    for before, after in zip(swap.before, swap.after, strict=True):
        missed = [f for f in facts[after.shard] if before.log_offset <= f.offset < after.log_offset]
        await fold_access_facts(conn, missed)
        outputs[after.shard] = await _publish_shard(
            conn, before, after, missed, by_shard[after.shard]
        )
    return outputs


async def _load_changes(
    conn: asyncpg.Connection, swap: StateSwap, identity_client: IdentityClient
) -> list[MembershipChange]:
    """Return the entries and exits; those that belong to a merge are marked on both sides."""
    now_us = max(at.log_time_us for at in swap.after)
    differences = await load_difference(conn, swap.live, swap.new, now_us)
    missing: dict[WorkspaceId, set[ProfileId]] = defaultdict(set)
    for change, profile_exists in differences:
        if not profile_exists:
            missing[change.workspace_id].add(change.profile_id)
    merged: list[ProfileEvaluation] = []
    for workspace_id, profiles in missing.items():
        current = await identity_client.current_profiles(workspace_id, sorted(profiles))
        merged += [
            ProfileEvaluation(workspace_id, old, 0, frozenset(), into, now_us)
            for old, into in current.items()
            if into != old
        ]
    targets = [e.merged_into for e in merged if e.merged_into is not None]
    live = await load_memberships(conn, targets, schema=swap.live)
    return mark_merges([difference.change for difference in differences], merged, live)


async def _publish_shard(
    conn: asyncpg.Connection,
    before: Checkpoint,
    after: Checkpoint,
    facts: Sequence[Any],
    changes: Sequence[MembershipChange],
) -> Sequence[OutboxMessage]:
    """Return the messages of a shard; only the last one has the log offset of the new state."""
    outputs: list[OutboxMessage] = []
    for sequence, start in enumerate(range(0, max(len(changes), 1), PAGE), before.next_output):
        at = after if start + PAGE >= len(changes) else before
        output = await publish(
            conn,
            after.shard,
            sequence,
            changes[start : start + PAGE],
            () if start else facts,
            log_offset=at.log_offset,
            log_time_us=at.log_time_us,
        )
        outputs.append(output)
    return outputs
