"""Stores published membership changes and broadcast facts, for ever."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from services.chassis.postgres.database import Queries
from services.kernel.ids import ProfileId
from services.segment.codec.bus import CLOCK_TICKED
from services.segment.domain.model import MembershipCause, MembershipChange

Q = Queries.load(__package__, "history.sql")


async def assign_ordinals(
    conn: asyncpg.Connection, changes: Sequence[MembershipChange]
) -> list[MembershipChange]:
    """Return the changes, each with the ordinal after the last published one.

    Shards progress at different speeds, so the instant of a change may lie before the last
    published one; then it becomes that one, so that the changes of a membership are in time order.
    """
    last = await _load_last_changes(conn, changes)
    numbered = []
    for change in changes:
        row = last.get((change.profile_id, change.segment_id))
        if row is None:
            numbered.append(change.numbered(1, change.changed_at_us))
        else:
            changed_at_us = max(change.changed_at_us, row["changed_at_us"])
            numbered.append(change.numbered(row["ordinal"] + 1, changed_at_us))
    return numbered


async def last_causes(
    conn: asyncpg.Connection, changes: Sequence[MembershipChange]
) -> dict[tuple[ProfileId, str], MembershipCause]:
    """Return the cause of the last published change of each of these memberships."""
    last = await _load_last_changes(conn, changes)
    return {key: MembershipCause(row["cause"]) for key, row in last.items()}


async def add_changes(
    conn: asyncpg.Connection, shard: int, sequence: int, changes: Sequence[MembershipChange]
) -> None:
    """Add the changes of one message."""
    await conn.execute(
        Q.add_changes,
        shard,
        sequence,
        list(range(len(changes))),
        [c.workspace_id for c in changes],
        [c.segment_id for c in changes],
        [c.segment_version for c in changes],
        [c.profile_id for c in changes],
        [c.entered for c in changes],
        [c.ordinal for c in changes],
        [c.changed_at_us for c in changes],
        [c.cause.value for c in changes],
        [c.other_profile_id for c in changes],
    )


async def add_broadcast_facts(
    conn: asyncpg.Connection, shard: int, sequence: int, facts: Iterable[Any]
) -> None:
    """Add the broadcast facts of one message, except clock ticks."""
    lasting = [f.SerializeToString() for f in facts if f.kind != CLOCK_TICKED]
    if lasting:
        indexes = list(range(len(lasting)))
        await conn.execute(Q.add_broadcast_facts, shard, sequence, indexes, lasting)


def change_from_row(row: Any) -> MembershipChange:
    """Return the change of one row of the history."""
    return MembershipChange(
        row["workspace_id"],
        row["segment_id"],
        row["segment_version"],
        row["profile_id"],
        row["entered"],
        row["changed_at_us"],
        MembershipCause(row["cause"]),
        row["other_profile_id"],
        row["ordinal"],
    )


async def _load_last_changes(
    conn: asyncpg.Connection, changes: Sequence[MembershipChange]
) -> dict[tuple[ProfileId, str], Any]:
    rows = await conn.fetch(
        Q.load_last_changes, [c.profile_id for c in changes], [c.segment_id for c in changes]
    )
    return {(row["profile_id"], row["segment_id"]): row for row in rows}
