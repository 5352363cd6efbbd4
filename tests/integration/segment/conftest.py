"""Fixtures of segment: an empty live state for a log of 2 shards."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio
from integration.segment.segment_fixture import SHARDS, SegmentWorkers
from service_fixtures import create_database

from services.chassis.postgres.database import Database
from services.chassis.postgres.migrate import migrate
from services.devstack.postgres import PostgresServer

_TABLES = (
    "evaluation, membership, definition, snapshot, ready_predicate, backfill, history,"
    " changed_workspace, changed_segment, broadcast_fact, passed_on, outbox, digest, access_key,"
    " access_source, erased_profile"
)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def segment_database(postgres_server: PostgresServer) -> AsyncIterator[Database]:
    """A database of this folder's tests."""
    admin = await asyncpg.connect(postgres_server.admin_dsn)
    try:
        name = await create_database(admin)
        dsn = postgres_server.dsn.rpartition("/")[0] + f"/{name}"
        await migrate(dsn, "segment", shards=SHARDS)
        async with Database(dsn, "segment", max_size=8) as opened:
            yield opened
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@pytest_asyncio.fixture(loop_scope="session")
async def workers(segment_database: Database) -> SegmentWorkers:
    """Workers that begin with an empty state."""
    pool = segment_database.pool
    await pool.execute(
        f"TRUNCATE {_TABLES}; UPDATE definition_revision SET value = 0;"
        " UPDATE checkpoint SET next = 0, next_output = 0, log_offset = 0, log_time_us = 0,"
        " withheld_offset = NULL"
    )
    return SegmentWorkers(pool)
