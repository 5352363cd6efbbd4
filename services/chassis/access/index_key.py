"""Makes sure that a service derives ids with the key that its stored ids were derived with."""

from __future__ import annotations

import asyncpg

from services.chassis.postgres.database import Queries, acquire
from services.kernel.index_key import IndexKey

Q = Queries.load(__package__, "index_key.sql")


class IndexKeyMismatch(Exception):
    """The stored ids were derived with another key."""


async def check_index_key(pool: asyncpg.Pool, service: str, key: IndexKey) -> None:
    """Store the check of the key with the first start; compare it with each later one.

    Raises IndexKeyMismatch, StoreUnavailable.
    """
    async with acquire(pool) as conn:
        await conn.execute(Q.save_check, key.version, key.check)
        [(version, check)] = await conn.fetch(Q.load_check)
    if check != key.check:
        raise IndexKeyMismatch(
            f"the ids in the tables of {service} were derived with another index key, of version"
            f" {version}: set ONEFOLD_INDEX_KEY to that key"
        )
