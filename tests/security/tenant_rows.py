"""Fills the tables of all services with rows of two workspaces."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

import asyncpg

from services import SERVICES
from services.chassis.postgres.migrate import migrate
from services.chassis.postgres.roles import ServiceRoles

OWN, OTHER = "own", "other"
SHARDS = 2

_COLUMNS = """
SELECT c.table_schema, c.table_name, array_agg(c.column_name::text) AS names,
    array_agg(CASE
        WHEN c.data_type = 'ARRAY' THEN c.udt_name
        WHEN c.udt_name = 'timestamptz' AND c.is_nullable = 'NO' AND c.column_default IS NULL
            THEN 'instant'
        ELSE c.data_type
    END::text) AS types
FROM information_schema.columns AS c
JOIN information_schema.tables AS t USING (table_schema, table_name)
WHERE t.table_type = 'BASE TABLE' AND NOT c.is_identity = 'YES' AND c.is_generated = 'NEVER'
    AND c.table_schema ~ $1
GROUP BY 1, 2 HAVING bool_or(c.column_name = 'workspace_id') ORDER BY 1, 2
"""


class Table(NamedTuple):
    """A table whose rows belong to workspaces."""

    schema: str
    name: str

    @property
    def service(self) -> str:
        return self.schema.partition("_g")[0]

    def __str__(self) -> str:
        return f'{self.schema}."{self.name}"'


async def migrate_all(dsn: str) -> None:
    """Create the schemas of all services, used by their roles."""
    for service in SERVICES:
        roles = ServiceRoles.from_dsn(dsn, service)
        shards = 0 if service == "ingest" else SHARDS
        await migrate(dsn, service, shards=shards, roles=roles)


async def add_rows(conn: asyncpg.Connection, count: int) -> list[Table]:
    """Add at most so many rows for each workspace to every table that has workspaces.

    Numbers and ids differ from row to row. Where a key has neither, there are fewer rows. Return
    the tables.
    """
    tables = []
    services = "|".join(SERVICES)
    for schema, name, names, types in await conn.fetch(_COLUMNS, f"^({services})(_g[0-9]+)?$"):
        table = Table(schema, name)
        rows = [
            [
                _value(column, type_, workspace, start + number)
                for column, type_ in zip(names, types, strict=True)
            ]
            for start, workspace in ((0, OWN), (count, OTHER))
            for number in range(count)
        ]
        await _insert(conn, table, names, types, rows)
        tables.append(table)
    return tables


def row_id(workspace: str, number: int) -> bytes:
    return blake2b(f"{workspace} {number}".encode(), digest_size=16).digest()


def _value(column: str, type_: str, workspace: str, number: int) -> object:
    match type_:
        case "bytea":
            size = 32 if column == "key_hash" else 16
            return (row_id(workspace, number) * 2)[:size]
        case "jsonb":
            return f'"{workspace}-{number}"'
        case "tsvector":
            # Each form of a name begins with its workspace.
            return f"{workspace}/{workspace}-{number}"
        case "text":
            return workspace if column == "workspace_id" else f"{workspace}-{number}"
        case "boolean":
            return False
        case "_text":
            return [workspace]
        case "_bytea":
            return [row_id(workspace, number)]
        case str() if type_.startswith("_"):
            return [number]
        case "smallint":
            return number % SHARDS if column == "shard" else 1
        case "integer" if column == "shard":
            return number % SHARDS
        case "instant":
            return datetime.fromtimestamp(number, UTC)
        case "timestamp with time zone":
            return None
        case "uuid":
            return UUID(bytes=row_id(workspace, number))
        case _:
            return number
    raise AssertionError(type_)


async def _insert(
    conn: asyncpg.Connection,
    table: Table,
    names: Sequence[str],
    types: Sequence[str],
    rows: Sequence[Sequence[object]],
) -> None:
    columns = [
        (name, index)
        for index, (name, type_) in enumerate(zip(names, types, strict=True))
        if type_ != "timestamp with time zone"
    ]
    names_ = ", ".join(f'"{name}"' for name, _ in columns)
    await conn.execute(
        f"CREATE TEMPORARY TABLE added (LIKE {table} INCLUDING DEFAULTS INCLUDING IDENTITY"
        " INCLUDING GENERATED)"
    )
    # The driver writes no values of this type.
    vectors = {name for name, at in columns if types[at] == "tsvector"}
    for name in vectors:
        await conn.execute(f'ALTER TABLE added ALTER "{name}" TYPE text')
    values = ", ".join(
        f'"{name}"::tsvector' if name in vectors else f'"{name}"' for name, _ in columns
    )
    await conn.copy_records_to_table(
        "added",
        columns=[name for name, _ in columns],
        records=[tuple(row[index] for _, index in columns) for row in rows],
    )
    await conn.execute(
        f"INSERT INTO {table} ({names_}) SELECT {values} FROM added ON CONFLICT DO NOTHING;"
        " DROP TABLE added"
    )
