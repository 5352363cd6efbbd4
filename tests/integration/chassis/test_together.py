"""Tests that statements that run together have their rows, and read one state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from services.chassis.postgres.database import connect
from services.chassis.postgres.together import Statement, fetch_together

_SNAPSHOT = Statement("SELECT pg_current_snapshot()::text, pg_current_xact_id_if_assigned()::text")


@asynccontextmanager
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    conn = await connect(database, schema="public")
    try:
        yield conn
    finally:
        await conn.close()


async def test_each_statement_has_its_parameters_and_its_rows_in_order(database: str) -> None:
    numbers = Statement(
        "-- name of a comment with $2\nSELECT n, $1 || n, NULL::bytea"
        " FROM generate_series(1, $2::int) AS n ORDER BY n DESC",
        ("no ", 12),
    )
    nothing = Statement("SELECT 1 WHERE $1::boolean", (False,))
    pair = Statement("SELECT $2::bytea, $1::text", ("李", b"\0"))
    async with connection(database) as conn:
        found = await fetch_together(conn, numbers, nothing, pair)
        assert found == [[(n, f"no {n}", None) for n in range(12, 0, -1)], [], [(b"\0", "李")]]
        assert await fetch_together(conn, pair) == [[(b"\0", "李")]]


async def test_statements_read_one_state_without_a_transaction(database: str) -> None:
    async with connection(database) as conn:
        first, second = await fetch_together(conn, _SNAPSHOT, _SNAPSHOT)
        assert first == second
        await conn.execute("SELECT pg_current_xact_id()")
        later, _ = await fetch_together(conn, _SNAPSHOT, _SNAPSHOT)
        assert later != first, "the test sees that states differ"
