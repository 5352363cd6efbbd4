"""Names the rows in which two generations of a state differ."""

from __future__ import annotations

import asyncpg


async def differing_table_rows(
    conn: asyncpg.Connection, live: str, new: str, table: str, key: str, columns: str, limit: int
) -> list[str]:
    """Return names of rows of a table that differ between two schemas, for `differing_rows`.

    `key` is an SQL expression for the text that names a row, such as `encode(leaf_id, 'hex')`;
    `columns` are those that follow from the facts. The tables are first compared by a sum of
    hashes, which reads each once.
    """
    sums = [
        await conn.fetchval(
            f"SELECT sum(hash_record_extended(ROW({key}, {columns}), 0)::numeric)"
            f" FROM {schema}.{table}"
        )
        for schema in (live, new)
    ]
    if sums[0] == sums[1]:
        return []
    rows = await conn.fetch(
        f"SELECT DISTINCT key FROM ("
        f" (SELECT {key} AS key, {columns} FROM {live}.{table}"
        f" EXCEPT SELECT {key}, {columns} FROM {new}.{table})"
        f" UNION ALL (SELECT {key}, {columns} FROM {new}.{table}"
        f" EXCEPT SELECT {key}, {columns} FROM {live}.{table})"
        f") AS differing ORDER BY key LIMIT {int(limit)}"
    )
    return [f"{table} {row['key']}" for row in rows]
