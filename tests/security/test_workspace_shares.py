"""Attacks the database with many long reads of one workspace, while another one reads."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from security.tenant_rows import OTHER, OWN, migrate_all
from service_fixtures import HANG_S, wait_until

from services import SERVICES
from services.chassis.postgres.database import Database, acquire
from services.chassis.postgres.roles import ServiceRoles

#: An advisory lock that a read waits for: a statement that takes as long as the test wants.
SLOW = 4711
READS = 40
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted"


async def _read_slowly(database: Database) -> None:
    async with acquire(database.api_pool, OTHER) as conn:
        # The role gives up a lock after 5 s, which says nothing about shares.
        await conn.execute("SELECT set_config('lock_timeout', '0', false)")
        await conn.execute("SELECT pg_advisory_lock_shared($1)", SLOW)
        await conn.execute("SELECT pg_advisory_unlock_shared($1)", SLOW)


@pytest.mark.parametrize("isolated", [True, False])
async def test_reads_of_a_workspace_succeed_while_another_one_floods_the_database(
    database: str, isolated: bool
) -> None:
    await migrate_all(database)
    admin = await asyncpg.connect(database)
    for service in SERVICES:
        roles = ServiceRoles.from_dsn(database, service) if isolated else None
        await admin.execute("SELECT pg_advisory_lock($1)", SLOW)
        async with Database(database, service, max_size=12, roles=roles) as opened:
            flood = [asyncio.create_task(_read_slowly(opened)) for _ in range(READS)]
            share = opened.api_pool.get_max_size() // 2

            async def is_full(share: int = share) -> bool:
                return await admin.fetchval(WAITING, SLOW) == share

            await wait_until(is_full)
            async with asyncio.timeout(HANG_S):
                for _ in range(READS):
                    async with acquire(opened.api_pool, OWN) as conn:
                        assert await conn.fetchval("SELECT 1") == 1
            assert not any(read.done() for read in flood), "the flood was running all the time"
            assert await admin.fetchval(WAITING, SLOW) == share
            await admin.execute("SELECT pg_advisory_unlock($1)", SLOW)
            await asyncio.gather(*flood)
    await admin.close()
