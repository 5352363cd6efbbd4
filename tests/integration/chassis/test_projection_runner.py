"""The projection runner on real engines: one shard, one replica."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import nats
import pytest
import pytest_asyncio
from toy.running import DEADLINE, relaying, replica, say
from toy.words import Said, WordLog, Words, story

from services.chassis.bus import Bus
from services.chassis.testing import wait_until
from services.kernel.errors import InvalidField, TokenNotReached
from services.kernel.tokens import Token


@pytest_asyncio.fixture(loop_scope="session")
async def log(database: str) -> AsyncIterator[WordLog]:
    log = await WordLog.make(database)
    yield log
    await log.close()


async def test_facts_are_folded_and_outputs_relayed(
    database: str, nats_url: str, log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, log, root=tmp_path) as toy,
        relaying(toy.bus, log) as relay,
    ):
        for i in range(20):
            token = await say(log, relay, 0, story(10, i))
        reached = await toy.runner.wait_for(token, DEADLINE)
        assert reached == Token((200,))
        assert await toy.counted() == 200

        async def said_all() -> bool:
            return await toy.bus.last_range("onefold.toy.0") is not None and (
                await toy.bus.last_range("onefold.toy.0")
            )[1] == 200

        await wait_until(said_all)
