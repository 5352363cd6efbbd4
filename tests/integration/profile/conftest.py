from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import asyncpg
import pytest
import pytest_asyncio
from integration.profile.profile_stack import ProfileStack, profile_stack
from service_fixtures import MakeSettings

from services.chassis.postgres.database import Database
from services.chassis.postgres.migrate import migrate


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    """Provide an empty live state of profile for a log of 4 shards."""
    await migrate(database, "profile", shards=4)
    async with Database(database, "profile") as opened:
        yield opened.pool


@pytest.fixture
def open_stack(
    make_settings: MakeSettings, internal_key: str
) -> Callable[..., AbstractAsyncContextManager[ProfileStack]]:
    """Starts the services; the keyword `workspace_id` names another workspace for the calls."""

    def enter(**fields: str) -> AbstractAsyncContextManager[ProfileStack]:
        return profile_stack(make_settings, internal_key, **fields)

    return enter
