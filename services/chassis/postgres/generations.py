"""Switches between the generations of a service's state, and drops old ones."""

from __future__ import annotations

import asyncpg

from services.chassis.postgres.database import Queries, generation_schema

Q = Queries.load(__package__, "generations.sql")


async def set_live_generation(conn: asyncpg.Connection, service: str, generation: int) -> None:
    """Make a generation live: connections opened from now on see it."""
    await conn.execute(Q.set_live_generation.format(service=service), generation)


async def list_generations(conn: asyncpg.Connection, service: str) -> list[int]:
    """Return the numbers of the generations that have a schema, in order."""
    rows = await conn.fetch(Q.list_generations, f"^{service}_g[0-9]+$")
    return sorted(int(row["name"].rpartition("_g")[2]) for row in rows)


async def drop_generation(conn: asyncpg.Connection, service: str, generation: int) -> None:
    """Drop the schema of a generation, if there is one."""
    await conn.execute(f"DROP SCHEMA IF EXISTS {generation_schema(service, generation)} CASCADE")
