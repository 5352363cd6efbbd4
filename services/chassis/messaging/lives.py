"""Tells the histories of a stream apart: each life of it has a random number and a first sequence.

A database can go back: a standby that lagged is promoted, a backup is restored. What is published
afterwards has sequence numbers that other messages had before, and soon the stream is longer than
it was. So a writer begins a life of its stream with each connection or lease, and stores where the
life begins. A reader that is at a sequence number in a life has read the same stream if that life
is stored and has not ended before that number.
"""

from __future__ import annotations

import secrets

import asyncpg

from services.chassis.postgres.database import Queries
from services.kernel.errors import StoreUnavailable, UpstreamWentBack

Q = Queries.load(__package__, "lives.sql")


def new_life() -> int:
    """Return the number of a new life: 62 random bits, and never 0."""
    return secrets.randbits(62) + 1


def went_back_message(shard: int, first: int, end: int) -> str:
    """Return what to do where a stream lacks a part of what was consumed of it."""
    return (
        f"shard {shard} has only {end} of the {first} messages or facts that were consumed: it was"
        " restored without the services after it; restore the whole database to one moment, or run"
        " `./onefold rebuild SERVICE --resync`, first for the service that is first in the flow"
    )


async def begin_life(conn: asyncpg.Connection, shard: int) -> int:
    """Begin a life of what a projection publishes; `conn` holds the lease of the shard.

    Return its number; 0 where the generation that the connection sees was dropped.
    """
    life = new_life()
    try:
        await conn.execute(Q.begin_life, shard, life)
    except asyncpg.UndefinedTableError:
        return 0
    return life


async def load_life(conn: asyncpg.Connection, shard: int) -> int:
    """Return the newest life of a shard; 0 where none has begun.

    What was read before has a place in it, also where it was written in an earlier one.
    """
    return await conn.fetchval(Q.load_life, shard) or 0


async def check_life(conn: asyncpg.Connection, shard: int, first: int, life: int) -> int:
    """Check that the stream still has everything before `first` as it was in a life of it.

    `life` 0 = not checked. Return the newest life. Raises UpstreamWentBack; StoreUnavailable where
    no life has begun since the database changed, as what it will have is not known yet.
    """
    row = await conn.fetchrow(Q.load_life_end, shard, life)
    if row is None or not row["is_current"]:
        raise StoreUnavailable("the stream has no writer since the database changed; try again")
    end = (first if row["ended_at"] is None else row["ended_at"]) if row["is_known"] else 0
    if life and end < first:
        raise UpstreamWentBack(went_back_message(shard, first, end))
    newest: int = row["newest"]
    return newest


async def has_life(conn: asyncpg.Connection, shard: int, end: int, life: int) -> bool:
    """Return whether the stream has everything before `end` as it was in a life of it."""
    row = await conn.fetchrow(Q.load_life_end, shard, life)
    return bool(row and row["is_known"] and (row["ended_at"] is None or end <= row["ended_at"]))
