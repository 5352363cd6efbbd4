"""Fixtures of the toy service."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from toy.words import WordLog


@pytest_asyncio.fixture(loop_scope="session")
async def word_log(database: str) -> AsyncIterator[WordLog]:
    """An empty log of words in this test's database."""
    log = await WordLog.make(database)
    yield log
    await log.close()
