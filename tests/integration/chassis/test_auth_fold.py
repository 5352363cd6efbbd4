"""Keys and sources fold into the same state in any order, any number of times."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from onefold.ingest.v1.ingest_facts_pb2 import KeyDefined, SourceDefined
from onefold.log.v1.log_pb2 import ClockTicked, Fact

from services.chassis import access
from services.chassis.auth import Authenticator, Role, fold_access, issue_key, load_from
from services.kernel.errors import NotAllowed

SCHEMA = Path(access.__file__).parent / "migrations" / "0002_access_key.sql"
WEB = issue_key(Role.SOURCE)
APP = issue_key(Role.SOURCE)
ADMIN = issue_key(Role.ADMIN)


def _fact(message: KeyDefined | SourceDefined | ClockTicked, workspace: str = "shop") -> Fact:
    return Fact(
        workspace_id=workspace,
        kind=message.DESCRIPTOR.full_name,
        payload=message.SerializeToString(),
    )


def _key(issued: tuple[str | None, str, bytes], **fields: object) -> Fact:
    _, key_id, key_hash = issued
    return _fact(KeyDefined(key_id=key_id, key_hash=key_hash, **fields))


FACTS = [
    _key(WEB, role=1, source_id="web", version=1),
    _key(WEB, role=1, source_id="web", version=2, disabled=True),
    _key(APP, role=1, source_id="app", version=1),
    _key(ADMIN, role=3, version=1),
    _key(ADMIN, role=3, version=2, disabled=True),
    _key(ADMIN, role=3, version=3),
    _fact(SourceDefined(source_id="app", version=1)),
    _fact(SourceDefined(source_id="app", version=2, disabled=True)),
    _fact(SourceDefined(source_id="web", version=2)),
    _fact(SourceDefined(source_id="web", version=1, disabled=True)),
    _fact(ClockTicked(at_us=1)),
    _key((None, "key_junk", b"short"), role=1, version=1),
    _key((None, "key_none", bytes(32)), role=0, version=1),
]


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(database, min_size=1, max_size=5) as pool:
        await pool.execute(SCHEMA.read_text())
        yield pool


async def _state(pool: asyncpg.Pool) -> list[tuple[object, ...]]:
    keys = await pool.fetch("SELECT * FROM access_key ORDER BY key_hash")
    sources = await pool.fetch("SELECT * FROM access_source ORDER BY source_id")
    return [tuple(row) for row in keys + sources]


async def _fold_in_batches(pool: asyncpg.Pool, facts: list[Fact], size: int) -> None:
    async with pool.acquire() as conn:
        for start in range(0, len(facts), size):
            async with conn.transaction():
                await fold_access(conn, facts[start : start + size])


async def test_any_order_and_repetition_is_the_same_state(pool: asyncpg.Pool) -> None:
    await _fold_in_batches(pool, FACTS, len(FACTS))
    expected = await _state(pool)
    assert len(expected) == 5
    dice = random.Random(20_26)
    for _ in range(25):
        await pool.execute("TRUNCATE access_key, access_source")
        shuffled = dice.sample(FACTS, len(FACTS)) + dice.choices(FACTS, k=5)
        await _fold_in_batches(pool, shuffled, dice.randint(1, 7))
        assert await _state(pool) == expected


async def test_workers_of_several_shards_fold_the_same_at_once(pool: asyncpg.Pool) -> None:
    async with asyncio.TaskGroup() as workers:
        for shard in range(4):
            turned = FACTS[shard:] + FACTS[:shard]
            workers.create_task(_fold_in_batches(pool, turned, 13))
    assert len(await _state(pool)) == 5


async def test_what_was_folded_opens_and_shuts(pool: asyncpg.Pool) -> None:
    await _fold_in_batches(pool, FACTS, 3)
    authenticator = Authenticator(load_from(pool), "an-internal-key")
    admin = await authenticator.authenticate(ADMIN.key)
    assert (admin.workspace_id, admin.role, admin.key_id) == ("shop", Role.ADMIN, ADMIN.key_id)
    for disabled in (WEB, APP):  # the key itself, and the source of the key
        with pytest.raises(NotAllowed) as caught:
            await authenticator.authenticate(disabled.key)
        assert caught.value.reason == "KEY_DISABLED"


async def test_tells_whether_there_was_anything(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as conn:
        assert not await fold_access(conn, [_fact(ClockTicked(at_us=1))])
        assert await fold_access(conn, FACTS[:1])
