"""Stores current memberships, and for ever the published changes and broadcast facts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from services.chassis.postgres.database import Queries
from services.kernel.ids import ProfileId, WorkspaceId, shard_of
from services.segment.codec.bus import CLOCK_TICKED
from services.segment.domain.model import MembershipCause, MembershipChange

Q = Queries.load(__package__, "memberships.sql")
_MEMBERSHIP_COLUMNS = """
    shard workspace_id segment_id profile_id segment_version since_us
"""
_HISTORY_COLUMNS = """
    shard sequence position workspace_id segment_id segment_version profile_id entered ordinal
    changed_at_us cause other_profile_id reached_offset occurred_at_us
"""
_LOAD_MEMBERSHIPS = Q.load_memberships.replace("{schema}", "")


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


async def load_entries(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, segment_id: str
) -> list[MembershipChange]:
    """Return the entry of each member of a segment."""
    rows = await conn.fetch(Q.load_entries, workspace_id, segment_id)
    return list(map(change_from_row, rows))


async def save_changes(
    conn: asyncpg.Connection, changes: Sequence[MembershipChange], shards: int
) -> None:
    """Add and delete the memberships of profiles that enter and leave, in the order given.

    No profile enters a segment of which it is a member.
    """
    left = [c for c in changes if not c.entered]
    if left:
        profiles, segments = [c.profile_id for c in left], [c.segment_id for c in left]
        await conn.execute(Q.delete_memberships, profiles, segments)
    last = {(c.profile_id, c.segment_id): c for c in changes}
    entered = [c for c in last.values() if c.entered]
    if entered:
        # COPY writes half as much to the write-ahead log as INSERT … ON CONFLICT.
        await conn.copy_records_to_table(
            "membership",
            columns=_MEMBERSHIP_COLUMNS.split(),
            records=[
                (
                    shard_of(c.profile_id, shards),
                    *(c.workspace_id, c.segment_id, c.profile_id),
                    *(c.segment_version, c.changed_at_us),
                )
                for c in entered
            ],
        )


async def load_difference(
    conn: asyncpg.Connection, live: str, new: str, now_us: int
) -> list[tuple[MembershipChange, bool]]:
    """Return the memberships that exist in one of two schemas only, by profile and segment.

    Each is a change from `live` to `new` that is learnt now, with the instant of the profile's
    evaluation in `new` as its own time; and whether the profile exists in `new`.
    """
    statement = Q.load_difference.replace("{live}", live).replace("{new}", new)
    rows = await conn.fetch(statement, now_us)
    return [(change_from_row(row), row["profile_exists"]) for row in rows]


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


async def assign_ordinals(
    conn: asyncpg.Connection, changes: Sequence[MembershipChange]
) -> list[MembershipChange]:
    """Return the changes, each with the ordinal after the last published one.

    Shards progress at different speeds, so the instant of a change may lie before the last
    published one; then it becomes that one, so that the changes of a membership are in time order.
    """
    rows = await _load_last_changes(conn, changes)
    last = {key: (row["ordinal"], row["changed_at_us"] or 0) for key, row in rows.items()}
    numbered = []
    for change in changes:
        key = (change.profile_id, change.segment_id)
        ordinal, changed_at_us = last.get(key, (0, 0))
        last[key] = (ordinal + 1, max(change.changed_at_us, changed_at_us))
        numbered.append(change._replace(ordinal=last[key][0], changed_at_us=last[key][1]))
    return numbered


async def last_causes(
    conn: asyncpg.Connection, changes: Sequence[MembershipChange]
) -> dict[tuple[ProfileId, str], MembershipCause]:
    """Return the cause of the last published change of each of these memberships."""
    last = await _load_last_changes(conn, changes)
    known = {key: row["cause"] for key, row in last.items()}
    return {key: MembershipCause(cause) for key, cause in known.items() if cause is not None}


async def add_changes(
    conn: asyncpg.Connection,
    shard: int,
    sequence: int,
    changes: Sequence[MembershipChange],
    reached_offset: int,
) -> None:
    """Add the changes of one message to the history; `reached_offset`: of the state before."""
    await conn.copy_records_to_table(
        "history",
        columns=_HISTORY_COLUMNS.split(),
        records=[
            (
                *(shard, sequence, position, c.workspace_id, c.segment_id, c.segment_version),
                *(c.profile_id, c.entered, c.ordinal, c.changed_at_us, c.cause.value),
                *(c.other_profile_id, reached_offset, c.occurred_at_us),
            )
            for position, c in enumerate(changes)
        ],
    )
    workspaces = sorted({change.workspace_id for change in changes})
    segments = {(change.workspace_id, change.segment_id) for change in changes}
    names = zip(*segments, strict=True)
    await conn.execute(Q.add_changed, shard, sequence, workspaces, *names)


async def add_broadcast_facts(
    conn: asyncpg.Connection, shard: int, sequence: int, facts: Iterable[Any]
) -> None:
    """Add the broadcast facts of one message to the history, except clock ticks."""
    lasting = [f.SerializeToString() for f in facts if f.kind != CLOCK_TICKED]
    if lasting:
        indexes = list(range(len(lasting)))
        await conn.execute(Q.add_broadcast_facts, shard, sequence, indexes, lasting)


def change_from_row(row: Any) -> MembershipChange:
    """Return the change of one row of the history, or of a row with the same columns."""
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
        row["occurred_at_us"],
    )


async def _load_last_changes(
    conn: asyncpg.Connection, changes: Sequence[MembershipChange]
) -> dict[tuple[ProfileId, str], Any]:
    rows = await conn.fetch(
        Q.load_last_changes,
        [c.workspace_id for c in changes],
        [c.profile_id for c in changes],
        [c.segment_id for c in changes],
    )
    return {(row["profile_id"], row["segment_id"]): row for row in rows}
