"""Stores the units that a state leaves out: failed facts, and facts that an operator parked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import asyncpg

from services.chassis.messaging.stream import FoldUnit, UnitId
from services.chassis.postgres.database import Queries, lock_class, transaction
from services.chassis.projection.isolation import FailedUnit
from services.kernel.ids import WorkspaceId

Q = Queries.load(__package__, "failed_facts.sql")

#: The most failed units of one workspace in one shard; with more the shard is stalled.
MAX_FAILED = 1_000
#: Seconds before a failed unit is tried again; the pause doubles with each attempt.
FIRST_RETRY_S, MAX_RETRY_S = 60.0, 3_600.0


class DueUnit(NamedTuple):
    """A unit that is to be folded late."""

    id: UnitId
    workspace_id: WorkspaceId
    #: None where it must be read upstream.
    payload: bytes | None
    attempts: int


class LeftOutCounts(NamedTuple):
    """How many units of a shard the state leaves out."""

    failed: int = 0
    parked: int = 0


def retry_pause_s(attempts: int) -> float:
    """Return the seconds after so many failed attempts before the next one."""
    return min(MAX_RETRY_S, FIRST_RETRY_S * 2.0 ** max(0, min(attempts, 30) - 1))


async def add_failed(
    conn: asyncpg.Connection, shard: int, failing: Sequence[FailedUnit], *, retry_in_s: float
) -> None:
    """Add units that a fold of this transaction leaves out."""
    units = [one.unit for one in failing]
    await conn.execute(
        Q.add_failed,
        shard,
        [unit.id.sequence for unit in units],
        [unit.id.key for unit in units],
        [unit.workspace_id for unit in units],
        [unit.payload for unit in units],
        [one.error for one in failing],
        retry_in_s,
    )


async def has_room(conn: asyncpg.Connection, shard: int, failing: Sequence[FailedUnit]) -> bool:
    """Return whether these units may be left out besides those that are already."""
    workspaces = sorted({one.unit.workspace_id for one in failing})
    most: int = await conn.fetchval(Q.count_failed_of_workspaces, shard, workspaces)
    return most + len(failing) <= MAX_FAILED


async def check_left_out(conn: asyncpg.Connection, shard: int) -> tuple[LeftOutCounts, bool]:
    """Return how many units a shard leaves out, and whether a failed one is due."""
    [(failed, parked, is_due)] = await conn.fetch(Q.check_left_out, shard)
    return LeftOutCounts(failed, parked), bool(is_due)


async def begin_due_attempt(conn: asyncpg.Connection, service: str, shard: int) -> DueUnit | None:
    """Return the unit to fold now, with its attempt counted; None where none may be folded."""
    if not await conn.fetchval(Q.enter_retry, _retry_lock(service)):
        return None
    row = await conn.fetchrow(Q.load_due, shard)
    if row is None:
        return None
    unit = UnitId(row["sequence"], row["unit_key"])
    attempts = row["attempts"] + 1
    await conn.execute(Q.begin_attempt, shard, *unit, retry_pause_s(attempts))
    return DueUnit(unit, WorkspaceId(row["workspace_id"]), row["payload"], attempts)


async def lock_due(conn: asyncpg.Connection, service: str, shard: int, unit: UnitId) -> bool:
    """Lock a unit that is to be folded, until the transaction ends.

    False where a rebuild is in progress, or the unit was parked or folded meanwhile.
    """
    if not await conn.fetchval(Q.enter_retry, _retry_lock(service)):
        return False
    return bool(await conn.fetchval(Q.lock_failed, shard, *unit))


async def save_error(conn: asyncpg.Connection, shard: int, unit: UnitId, error: str) -> None:
    """Save why an attempt failed; see `describe_error`."""
    await conn.execute(Q.save_error, shard, *unit, error)


async def delete_failed(conn: asyncpg.Connection, shard: int, unit: UnitId) -> None:
    """Remove a unit that the state includes now."""
    await conn.execute(Q.delete_failed, shard, *unit)


async def delete_units(
    conn: asyncpg.Connection,
    shard: int,
    workspace_id: str,
    before: int,
    is_erased: Callable[[bytes], bool],
) -> None:
    """Delete units of before a sequence number, whose messages are of an erased person."""
    for sequence, key, payload in await conn.fetch(Q.load_units, shard, workspace_id, before):
        if is_erased(payload):
            await delete_failed(conn, shard, UnitId(sequence, key))


async def retry_failed(
    conn: asyncpg.Connection, shard: int | None = None, sequence: int | None = None
) -> int:
    """Make failed units due now; return how many."""
    done: str = await conn.execute(Q.retry_failed, shard, sequence)
    return int(done.rpartition(" ")[2])


async def load_left_out(
    conn: asyncpg.Connection, shard: int, first: int, end: int
) -> frozenset[UnitId]:
    """Return the units in [first, end) that a new state must leave out to equal the live one."""
    rows = await conn.fetch(Q.load_left_out, shard, first, end)
    return frozenset(UnitId(*row) for row in rows)


async def load_missing(
    conn: asyncpg.Connection, shard: int, first: int, end: int
) -> frozenset[UnitId]:
    """Return the units in [first, end) that this state lacks."""
    rows = await conn.fetch(Q.load_missing, shard, first, end)
    return frozenset(UnitId(*row) for row in rows)


async def load_left_out_units(conn: asyncpg.Connection) -> list[FoldUnit]:
    """Return the units of all shards that are left out and whose messages are stored."""
    return [
        FoldUnit(UnitId(row["sequence"], row["unit_key"]), row["workspace_id"], row["payload"])
        for row in await conn.fetch(Q.load_left_out_payloads)
        if row["payload"] is not None
    ]


async def list_failed(conn: asyncpg.Connection, limit: int) -> list[asyncpg.Record]:
    """Return the units that are left out, in order, at most `limit`."""
    rows: list[asyncpg.Record] = await conn.fetch(Q.list_failed, limit)
    return rows


async def count_failed(conn: asyncpg.Connection) -> dict[int, LeftOutCounts]:
    """Return how many units each shard leaves out; a shard that leaves out none is absent."""
    rows = await conn.fetch(Q.count_failed)
    return {row["shard"]: LeftOutCounts(row["failed"], row["parked"]) for row in rows}


async def copy_failed(pool: asyncpg.Pool, live: str, new: str) -> None:
    """Make the new generation leave out exactly what the live one leaves out; both are schemas."""
    async with transaction(pool) as conn:
        await conn.execute(Q.clear_failed.format(new=new))
        await conn.execute(Q.copy_failed.format(new=new, live=live))


async def hold_retries(conn: asyncpg.Connection, service: str) -> None:
    """Keep the workers from folding units late, as long as the session lasts."""
    await conn.execute(Q.hold_retries, _retry_lock(service))


def _retry_lock(service: str) -> int:
    return lock_class(f"late folds {service}")
