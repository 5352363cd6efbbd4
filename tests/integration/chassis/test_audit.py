"""The audit on PostgreSQL: groups of many writers are one chain, which nothing changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from services import chassis
from services.chassis.audit.log import MAX_WAITING, AuditFilter, AuditLog, chain_of
from services.chassis.runtime.tasks import background
from services.kernel.audit_chain import AuditEntry, ChainVerifier
from services.kernel.errors import StoreUnavailable

SCHEMA = sorted((Path(chassis.__file__).parent / "store" / "migrations").glob("*_audit.sql"))
SHOP, OTHER = "shop", "other"


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(database, min_size=1, max_size=8) as opened:
        for file in SCHEMA:
            await opened.execute(file.read_text("utf-8"))
        yield opened


def _entry(at_us: int, **fields: object) -> AuditEntry:
    return AuditEntry(at_us, "key_0123456789abcdef", 4, "/s/M", "OK", **fields)  # type: ignore[arg-type]


async def _verified(audit: AuditLog, workspace_id: str) -> ChainVerifier:
    verifier = ChainVerifier(chain_of(audit.service, workspace_id))
    entries, head = await audit.entries_from(workspace_id, 1, 10_000)
    verifier.add(entries)
    verifier.end(head)
    return verifier


async def test_entries_of_many_writers_are_one_whole_chain_for_each_workspace(
    pool: asyncpg.Pool,
) -> None:
    writers = [AuditLog(pool, pool, "profile") for _ in range(4)]
    async with background(*(writer.run() for writer in writers)), asyncio.TaskGroup() as tasks:
        for number in range(400):
            workspace_id = (SHOP, OTHER)[number % 2]
            add = writers[number % 4].add(workspace_id, _entry(number), durably=number % 3 == 0)
            tasks.create_task(add)
    # What still waited when the writers ended was written.
    for workspace_id in (SHOP, OTHER):
        verifier = await _verified(writers[0], workspace_id)
        assert (verifier.last.number, verifier.problems) == (200, [])


async def test_entry_that_is_durable_is_stored_before_the_call_goes_on(pool: asyncpg.Pool) -> None:
    audit = AuditLog(pool, pool, "profile")
    async with background(audit.run()):
        await audit.add(SHOP, _entry(1), durably=True)
        assert await pool.fetchval("SELECT count(*) FROM audit_entry") == 1


async def test_group_that_cannot_be_stored_is_stored_later(pool: asyncpg.Pool) -> None:
    audit = AuditLog(pool, pool, "profile")
    await pool.execute("ALTER TABLE audit_entry RENAME TO away")
    async with background(audit.run()):
        with pytest.raises(Exception, match="audit_entry"):
            await audit.add(SHOP, _entry(1), durably=True)
        await pool.execute("ALTER TABLE away RENAME TO audit_entry")
        await audit.add(SHOP, _entry(2), durably=True)
    verifier = await _verified(audit, SHOP)
    assert (verifier.last.number, verifier.problems) == (2, [])


async def test_entries_are_listed_by_key_by_profile_and_by_kind(pool: asyncpg.Pool) -> None:
    audit = AuditLog(pool, pool, "profile")
    read = _entry(2, profile_ids=b"a" * 16 + b"b" * 16, names=("phone",), value_count=1, visible=2)
    for entry in (_entry(1, target="source_id:web"), read, _entry(3)._replace(key_id="key_2")):
        await audit.add(SHOP, entry, durably=False)
    await audit.add(OTHER, _entry(4), durably=False)

    async def listed(chosen: AuditFilter, before: int = 0) -> list[int]:
        found = await audit.entries_before(SHOP, before, 10, chosen)
        return [each.entry.at_us for each in found]

    assert await listed(AuditFilter()) == [3, 2, 1]
    assert await listed(AuditFilter(), before=3) == [2, 1]
    assert await listed(AuditFilter(key_id="key_2")) == [3]
    assert await listed(AuditFilter(profile_id=b"b" * 16)) == [2]
    assert await listed(AuditFilter(reads_only=True)) == [2]
    [found] = await audit.entries_before(SHOP, 3, 1, AuditFilter())
    assert found.entry == read


@pytest.mark.parametrize(
    "change",
    ["UPDATE audit_entry SET count = 9", "DELETE FROM audit_entry", "TRUNCATE audit_entry"],
)
async def test_statement_that_changes_an_entry_is_refused(pool: asyncpg.Pool, change: str) -> None:
    audit = AuditLog(pool, pool, "profile")
    await audit.add(SHOP, _entry(1), durably=False)
    await audit.flush()
    with pytest.raises(asyncpg.RaiseError, match="only ever added"):
        await pool.execute(change)


async def test_change_by_a_superuser_is_found(pool: asyncpg.Pool) -> None:
    audit = AuditLog(pool, pool, "profile")
    for at_us in range(3):
        await audit.add(SHOP, _entry(at_us), durably=False)
    await audit.flush()
    await pool.execute("ALTER TABLE audit_entry DISABLE TRIGGER ALL")
    await pool.execute("DELETE FROM audit_entry WHERE number = 2")
    assert (await _verified(audit, SHOP)).problems[
        0
    ] == "entries 2 to 2 are missing or out of order"


async def test_reads_are_refused_while_too_many_entries_wait_and_none_is_lost(
    pool: asyncpg.Pool,
) -> None:
    audit = AuditLog(pool, pool, "profile")
    for at_us in range(MAX_WAITING):
        await audit.add(SHOP, _entry(at_us), durably=False)
    with pytest.raises(StoreUnavailable):
        await audit.add(SHOP, _entry(0), durably=False)
    await pool.execute("ALTER TABLE audit_entry RENAME TO away")
    with pytest.raises(Exception, match="audit_entry"):
        await audit.flush()
    await pool.execute("ALTER TABLE away RENAME TO audit_entry")
    await audit.flush()
    assert await pool.fetchval("SELECT count(*) FROM audit_entry") == MAX_WAITING
