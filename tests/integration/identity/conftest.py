"""Provides an empty live state of identity, and a running system of ingest and identity."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest_asyncio
from integration.whole.whole_system import WholeSystem, whole_system
from service_fixtures import MakeSettings

from services.chassis.postgres.database import Database
from services.chassis.postgres.migrate import migrate


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    """Provide the pool of an empty state for a log of 4 shards."""
    await migrate(database, "identity", shards=4)
    async with Database(database, "identity") as opened:
        yield opened.pool


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(
    module_settings: MakeSettings, internal_key: str, module_folder: Path
) -> AsyncIterator[WholeSystem]:
    """Run ingest and identity for the tests of a file."""
    names = ("ingest", "identity")
    async with whole_system(module_settings, internal_key, module_folder, *names) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def system(running: WholeSystem) -> WholeSystem:
    """Provide a new workspace of the running system."""
    return await running.new_workspace()
