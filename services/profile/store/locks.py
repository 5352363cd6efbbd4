"""Locks profiles and identifiers until the transaction ends, with advisory locks."""

from __future__ import annotations

from collections.abc import Iterable

from asyncpg import Connection

from services.chassis.postgres.database import Queries
from services.chassis.postgres.locks import lock_keys

Q = Queries.load(__package__, "locks.sql")


async def lock_ids(conn: Connection, space: str, ids: Iterable[bytes]) -> None:
    """Lock ids of a space, waiting for other transactions that hold some."""
    await conn.execute(Q.lock, lock_keys(space, ids))


async def try_lock_ids(conn: Connection, space: str, ids: Iterable[bytes]) -> bool:
    """Lock ids of a space without waiting; return whether all of them are locked."""
    return bool(await conn.fetchval(Q.try_lock, lock_keys(space, ids)))
