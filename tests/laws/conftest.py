from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from services.chassis.postgres.database import Database
from services.chassis.postgres.migrate import migrate


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    """Provide an empty live state of profile for a log of 4 shards."""
    await migrate(database, "profile", shards=4)
    async with Database(database, "profile") as opened:
        yield opened.pool
