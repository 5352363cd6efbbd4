"""Tests that plans that were made for empty tables do not last."""

from __future__ import annotations

from services.chassis.postgres.database import connect
from services.chassis.postgres.plans import PlanRenewal


async def test_plan_of_an_empty_table_is_renewed_when_enough_facts_were_folded(
    database: str,
) -> None:
    conn = await connect(database, schema="public", point_lookups=True)
    try:
        await conn.execute(
            # Wide, so that the planner expects few rows in the pages of an empty table.
            "CREATE TEMP TABLE leaf (workspace_id text, leaf_id int, seen_us int, state char(400));"
            " CREATE INDEX by_leaf ON leaf (workspace_id, leaf_id);"
            " CREATE INDEX by_time ON leaf (workspace_id, seen_us)"
        )
        found = await conn.prepare("SELECT * FROM leaf WHERE workspace_id = $1 AND leaf_id = $2")
        await found.fetch("w", 1)
        await conn.execute(
            "INSERT INTO leaf SELECT 'w', n, n, '' FROM generate_series(1, 10000) AS n"
        )

        async def plan() -> str:
            rows = await conn.fetch(f"EXPLAIN EXECUTE {found.get_name()} ('w', 1)")
            return "\n".join(row[0] for row in rows)

        renewal = PlanRenewal(conn, first=1_000)
        await renewal.note_folded(999)
        assert "by_time" in await plan()
        await renewal.note_folded(1)
        assert "by_leaf" in await plan()
        assert [row["leaf_id"] for row in await found.fetch("w", 7)] == [7]
    finally:
        await conn.close()
