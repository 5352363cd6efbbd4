"""Migrations on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest
from toy.words import toy_root

from services.chassis.postgres.database import Database, connect, lock_class
from services.chassis.postgres.migrate import (
    MigrationRefused,
    create_generation,
    list_generations,
    migrate,
)
from services.kernel.errors import StoreUnavailable

SHARDS = 4

_COLUMNS = """
SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns
WHERE table_schema LIKE 'toy%' AND table_name <> 'migration' ORDER BY 1, 2, 3
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = toy_root(tmp_path)
    (root / "toy" / "store" / "migrations").mkdir(parents=True)
    (root / "toy" / "store" / "migrations" / "0001_history.sql").write_text(
        "CREATE TABLE history (n int)"
    )
    return root


async def columns(dsn: str) -> list[tuple[str, ...]]:
    conn = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await conn.fetch(_COLUMNS)]
    finally:
        await conn.close()


async def test_lasting_tables_and_state_have_schemas_of_their_own(
    database: str, root: Path
) -> None:
    assert await migrate(database, "toy", shards=SHARDS, root=root) == 1
    tables = {(schema, table) for schema, table, *_ in await columns(database)}
    assert {("toy", "history"), ("toy", "outbox"), ("toy", "generation")} <= tables
    state = {table for schema, table in tables if schema == "toy_g1"}
    assert state == {"checkpoint", "digest", "backfill", "failed_fact", "word_count", "label"}


async def test_second_run_changes_nothing(database: str, root: Path) -> None:
    await migrate(database, "toy", shards=SHARDS, root=root)
    before = await columns(database)
    assert await migrate(database, "toy", shards=SHARDS, root=root) == 1
    assert await columns(database) == before


async def test_service_without_shards_has_no_state(database: str, root: Path) -> None:
    assert await migrate(database, "toy", root=root) == 0
    assert {schema for schema, *_ in await columns(database)} == {"toy"}
    async with Database(database, "toy") as opened:
        assert opened.schema == "toy"


async def test_new_files_are_applied_in_order(database: str, root: Path) -> None:
    await migrate(database, "toy", shards=SHARDS, root=root)
    folder = root / "toy" / "store" / "migrations"
    (folder / "0010_later.sql").write_text("ALTER TABLE history RENAME TO annals")
    (folder / "0002_sooner.sql").write_text("ALTER TABLE history ADD COLUMN word text")
    (root / "toy" / "store" / "state" / "0002_more.sql").write_text(
        "ALTER TABLE word_count ADD seen int"
    )
    await migrate(database, "toy", shards=SHARDS, root=root)
    found = {row[:3] for row in await columns(database)}
    assert {("toy", "annals", "word"), ("toy_g1", "word_count", "seen")} <= found


async def test_new_generation_has_the_same_state_tables(database: str, root: Path) -> None:
    await migrate(database, "toy", shards=SHARDS, root=root)
    conn = await connect(database, schema="toy")
    try:
        await create_generation(conn, "toy", 2, SHARDS, root)
    finally:
        await conn.close()
    found = await columns(database)
    assert [row[1:] for row in found if row[0] == "toy_g1"] == [
        row[1:] for row in found if row[0] == "toy_g2"
    ]


async def test_generation_of_a_rebuild_that_died_is_dropped_at_the_next_start(
    database: str, root: Path
) -> None:
    await migrate(database, "toy", shards=SHARDS, root=root)
    conn = await asyncpg.connect(database)
    await create_generation(conn, "toy", 2, SHARDS, root)
    await conn.execute("SELECT pg_advisory_lock($1, 0)", lock_class("rebuild toy"))
    await migrate(database, "toy", shards=SHARDS, root=root)
    assert await list_generations(conn, "toy") == [1, 2], "a rebuild is in progress"
    await conn.execute("SELECT pg_advisory_unlock($1, 0)", lock_class("rebuild toy"))
    await migrate(database, "toy", shards=SHARDS, root=root)
    assert await list_generations(conn, "toy") == [1]
    await conn.close()


async def test_file_changed_after_it_was_applied_is_refused(database: str, root: Path) -> None:
    await migrate(database, "toy", shards=SHARDS, root=root)
    (root / "toy" / "store" / "migrations" / "0001_history.sql").write_text(
        "CREATE TABLE history (n text)"
    )
    with pytest.raises(MigrationRefused, match=r"toy/0001_history\.sql was changed"):
        await migrate(database, "toy", shards=SHARDS, root=root)


async def test_schema_of_a_newer_version_is_refused(database: str, root: Path) -> None:
    await migrate(database, "toy", shards=SHARDS, root=root)
    (root / "toy" / "store" / "migrations" / "0001_history.sql").unlink()
    with pytest.raises(MigrationRefused, match="a newer version"):
        await migrate(database, "toy", shards=SHARDS, root=root)


@pytest.mark.parametrize("name", ["2_short.sql", "0002-dash.sql"])
async def test_misnamed_file_is_refused(database: str, root: Path, name: str) -> None:
    (root / "toy" / "store" / "migrations" / name).write_text("SELECT 1")
    with pytest.raises(MigrationRefused, match="is not named like"):
        await migrate(database, "toy", shards=SHARDS, root=root)


async def test_two_files_of_one_number_are_refused(database: str, root: Path) -> None:
    (root / "toy" / "store" / "migrations" / "0001_again.sql").write_text("SELECT 1")
    with pytest.raises(MigrationRefused, match="two files of one number"):
        await migrate(database, "toy", shards=SHARDS, root=root)


async def test_another_number_of_shards_is_refused(database: str, root: Path) -> None:
    await migrate(database, "toy", shards=SHARDS, root=root)
    with pytest.raises(MigrationRefused, match="set ONEFOLD_SHARDS to 4"):
        await migrate(database, "toy", shards=2, root=root)


async def test_failed_migration_is_rolled_back(database: str, root: Path) -> None:
    broken = root / "toy" / "store" / "migrations" / "0002_broken.sql"
    broken.write_text("CREATE TABLE half (n int); SELECT 1 / 0")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(database, "toy", shards=SHARDS, root=root)
    assert ("toy", "half") not in {row[:2] for row in await columns(database)}
    broken.write_text("CREATE TABLE half (n int)")
    await migrate(database, "toy", shards=SHARDS, root=root)


async def test_replicas_that_start_at_once_apply_each_file_once(database: str, root: Path) -> None:
    runs = [migrate(database, "toy", shards=SHARDS, root=root) for _ in range(6)]
    assert await asyncio.gather(*runs) == [1] * 6
    conn = await asyncpg.connect(database)
    try:
        assert await conn.fetchval("SELECT count(*) FROM toy_g1.checkpoint") == SHARDS
    finally:
        await conn.close()


async def test_unreachable_postgres_is_store_unavailable(root: Path) -> None:
    with pytest.raises(StoreUnavailable):
        await migrate("postgresql://none@127.0.0.1:1/none", "toy", root=root, wait_s=0.1)
