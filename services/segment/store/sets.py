"""Stores snapshots, and reads members as bitmaps of the numbers of profiles."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import asyncpg
from pyroaring import BitMap

from services.chassis.postgres.database import Queries
from services.kernel.errors import InvalidField
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.tokens import Token
from services.segment.codec.sets import SNAPSHOT_TAKEN, decode_snapshot
from services.segment.domain.sets import MemberSnapshot

Q = Queries.load(__package__, "sets.sql")


def bitmap_of(numbers: bytes | None) -> BitMap:
    """Return the bitmap of numbers of 4 bytes each, big-endian; None = none."""
    values = array("I", numbers or b"")
    if sys.byteorder == "little":
        values.byteswap()
    return BitMap(values)


async def load_members(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, segment_ids: Collection[str]
) -> dict[str, BitMap]:
    """Return the members of each of these segments."""
    found = dict.fromkeys(segment_ids, b"")
    rows = await conn.fetch(Q.load_number_sets, workspace_id, sorted(segment_ids))
    found |= {row[0]: row[1] for row in rows}
    return {segment_id: bitmap_of(numbers) for segment_id, numbers in found.items()}


async def load_everyone(conn: asyncpg.Connection, workspace_id: WorkspaceId) -> BitMap:
    """Return all profiles of a workspace that exist."""
    return bitmap_of(await conn.fetchval(Q.load_everyone, workspace_id, column=1))


async def load_members_at_token(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, segment_id: str, token: Token
) -> BitMap:
    """Return the members of a segment as they were known at a token."""
    row = (workspace_id, segment_id, token.offsets)
    return bitmap_of(await conn.fetchval(Q.load_numbers_at_token, *row, column=1))


async def load_merges(conn: asyncpg.Connection, workspace_id: WorkspaceId) -> dict[int, int | None]:
    """Return the profile that each profile that does not exist is now; None = it is gone."""
    rows = await conn.fetch(Q.load_merges, workspace_id)
    return {row["number"]: row["into_number"] for row in rows}


async def load_positions(conn: asyncpg.Connection, shards: int) -> list[int]:
    """Return the sequence after the last published change of each shard."""
    following = {row[0]: row[1] for row in await conn.fetch(Q.load_positions)}
    return [following.get(shard, 0) for shard in range(shards)]


class ChangedMember(NamedTuple):
    """One profile entered or left a segment."""

    ordinal: int
    segment_id: str
    entered: bool
    number: int


async def load_changed_members(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, shard: int, first: int, limit: int
) -> list[ChangedMember]:
    """Return the first changes of a workspace in a shard from a sequence on."""
    rows = await conn.fetch(Q.load_changed_members, workspace_id, shard, first, limit)
    return [ChangedMember(*row) for row in rows]


async def profiles_numbered(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, numbers: Sequence[int]
) -> list[ProfileId]:
    """Return the profiles of some numbers, in the same order."""
    rows = await conn.fetch(Q.profiles_numbered, workspace_id, numbers)
    found = {row[0]: row[1] for row in rows}
    return [ProfileId(found[number]) for number in numbers if number in found]


async def state_generation(conn: asyncpg.Connection) -> int:
    """Return which generation of the state a connection sees."""
    return int(await conn.fetchval(Q.state_generation))


async def save_snapshots(conn: asyncpg.Connection, facts: Iterable[Any]) -> None:
    """Save the snapshots among facts; the newest version of each wins."""
    for fact in facts:
        if fact.kind != SNAPSHOT_TAKEN:
            continue
        try:
            taken = decode_snapshot(fact.workspace_id, fact.payload)
        except InvalidField:
            continue
        row = (fact.workspace_id, taken.name, taken.version, fact.payload)
        await conn.execute(Q.save_snapshot, *row)


async def load_snapshots(
    conn: asyncpg.Connection, workspace_id: WorkspaceId
) -> list[MemberSnapshot]:
    """Return the snapshots of a workspace that are not removed, by name."""
    rows = await conn.fetch(Q.load_snapshots, workspace_id)
    found = [decode_snapshot(row["workspace_id"], row["payload"]) for row in rows]
    return [one for one in found if not one.removed]


async def load_snapshot(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, name: str
) -> MemberSnapshot | None:
    """Return one snapshot, also where it is removed; None = there never was one."""
    row = await conn.fetchrow(Q.load_snapshot, workspace_id, name)
    return None if row is None else decode_snapshot(row["workspace_id"], row["payload"])
