"""Keys and sources fold into the same state in any order, any number of times."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from onefold.ingest.v1.ingest_facts_pb2 import KeyDefined, SourceDefined, WorkspaceDefined
from onefold.log.v1.log_pb2 import ClockTicked, Fact

from services import chassis
from services.chassis.access.authenticator import Authenticator
from services.chassis.access.keys import issue_key
from services.chassis.access.principal import Role
from services.chassis.access.tables import (
    WorkspaceRegions,
    fold_access_facts,
    key_loader,
    region_loader,
)
from services.kernel.errors import NotAllowed
from services.kernel.restrictions import Peer

SCHEMA = sorted((Path(chassis.__file__).parent / "store" / "migrations").glob("*_access*.sql"))
WEB = issue_key(Role.SOURCE)
APP = issue_key(Role.SOURCE)
ADMIN = issue_key(Role.ADMIN)
OLD = issue_key(Role.ADMIN)
PAGE = issue_key(Role.SOURCE)
SHOP = Peer("10.1.2.3", "https://a.shop.example")


def _fact(
    message: KeyDefined | SourceDefined | WorkspaceDefined | ClockTicked, workspace: str = "shop"
) -> Fact:
    return Fact(
        workspace_id=workspace,
        kind=message.DESCRIPTOR.full_name,
        payload=message.SerializeToString(),
    )


def _key(issued: tuple[str | None, str, bytes], **fields: object) -> Fact:
    _, key_id, key_hash = issued
    return _fact(KeyDefined(key_id=key_id, key_hash=key_hash, **fields))


FACTS = [
    _fact(WorkspaceDefined(title="a shop", default_region="US")),
    _fact(WorkspaceDefined(title="another shop"), "other"),
    _key(WEB, role=1, source_id="web", version=1),
    _key(WEB, role=1, source_id="web", version=2, disabled=True),
    _key(APP, role=1, source_id="app", version=1),
    _key(ADMIN, role=4, version=1),
    _key(ADMIN, role=4, version=2, disabled=True),
    _key(ADMIN, role=4, version=3),
    _key(OLD, role=4, version=1),
    _key(OLD, role=4, version=2, expires_at_us=1),
    _key(
        PAGE,
        role=1,
        source_id="web",
        version=1,
        expires_at_us=2**62,
        allowed_origins=["https://shop.example", "https://*.shop.example"],
        allowed_addresses=["10.0.0.0/8", "2001:db8::/32"],
    ),
    _fact(SourceDefined(source_id="app", version=1)),
    _fact(SourceDefined(source_id="app", version=2, disabled=True)),
    _fact(SourceDefined(source_id="web", version=2)),
    _fact(SourceDefined(source_id="web", version=1, disabled=True)),
    _fact(ClockTicked(now_us=1)),
    _key((None, "key_junk", b"short"), role=1, version=1),
    _key((None, "key_none", bytes(32)), role=0, version=1),
]


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(database, min_size=1, max_size=5) as pool:
        await pool.execute("".join(file.read_text() for file in SCHEMA))
        yield pool


async def _state(pool: asyncpg.Pool) -> list[tuple[object, ...]]:
    keys = await pool.fetch("SELECT * FROM access_key ORDER BY key_hash")
    sources = await pool.fetch("SELECT * FROM access_source ORDER BY source_id")
    workspaces = await pool.fetch("SELECT * FROM access_workspace ORDER BY workspace_id")
    return [tuple(row) for row in keys + sources + workspaces]


async def _fold_in_batches(pool: asyncpg.Pool, facts: list[Fact], size: int) -> None:
    async with pool.acquire() as conn:
        for start in range(0, len(facts), size):
            async with conn.transaction():
                await fold_access_facts(conn, facts[start : start + size])


async def test_access_facts_in_any_order_and_repetition_end_in_the_same_state(
    pool: asyncpg.Pool,
) -> None:
    await _fold_in_batches(pool, FACTS, len(FACTS))
    expected = await _state(pool)
    assert len(expected) == 9
    dice = random.Random(20_26)
    for _ in range(25):
        await pool.execute("TRUNCATE access_key, access_source, access_workspace")
        shuffled = dice.sample(FACTS, len(FACTS)) + dice.choices(FACTS, k=5)
        await _fold_in_batches(pool, shuffled, dice.randint(1, 7))
        assert await _state(pool) == expected


async def test_access_facts_folded_by_several_shards_at_once_do_not_deadlock(
    pool: asyncpg.Pool,
) -> None:
    async with asyncio.TaskGroup() as workers:
        for shard in range(4):
            rotated = FACTS[shard:] + FACTS[:shard]
            workers.create_task(_fold_in_batches(pool, rotated, 13))
    assert len(await _state(pool)) == 9


async def test_folded_keys_are_authenticated_and_disabled_ones_rejected(pool: asyncpg.Pool) -> None:
    await _fold_in_batches(pool, FACTS, 3)
    authenticator = Authenticator(key_loader(pool), "an-internal-key")
    admin = await authenticator.authenticate(ADMIN.key)
    assert (admin.workspace_id, admin.role, admin.key_id) == ("shop", Role.ADMIN, ADMIN.key_id)
    assert admin.region == "US"
    for disabled in (WEB, APP):  # the key itself, and the source of the key
        with pytest.raises(NotAllowed) as caught:
            await authenticator.authenticate(disabled.key)
        assert caught.value.reason == "KEY_DISABLED"


async def test_folded_keys_expire_and_are_restricted_as_the_log_defines(pool: asyncpg.Pool) -> None:
    await _fold_in_batches(pool, FACTS, 3)
    authenticator = Authenticator(key_loader(pool), "an-internal-key")
    assert (await authenticator.authenticate(PAGE.key, SHOP)).key_id == PAGE.key_id
    refused = {
        "KEY_EXPIRED": (OLD, SHOP),
        "ORIGIN_NOT_ALLOWED": (PAGE, SHOP._replace(origin="https://other.example")),
        "ADDRESS_NOT_ALLOWED": (PAGE, SHOP._replace(address="192.0.2.1")),
    }
    for reason, (key, peer) in refused.items():
        with pytest.raises(NotAllowed) as caught:
            await authenticator.authenticate(key.key, peer)
        assert caught.value.reason == reason


async def test_fold_access_facts_returns_whether_there_were_any(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as conn:
        assert not await fold_access_facts(conn, [_fact(ClockTicked(now_us=1))])
        for kind in (FACTS[0], FACTS[2]):
            assert await fold_access_facts(conn, [kind])


async def test_internal_call_has_the_region_of_the_workspace_it_names(pool: asyncpg.Pool) -> None:
    internal = "an-internal-key"
    authenticator = Authenticator(key_loader(pool), internal, load_region=region_loader(pool))
    before = await authenticator.authenticate_internal(internal, "shop")
    assert before.region == "CN"  # not known yet
    await _fold_in_batches(pool, FACTS, 3)
    for workspace, region in ("shop", "US"), ("other", "CN"), ("", "CN"), ("unknown", "CN"):
        caller = await authenticator.authenticate_internal(internal, workspace)
        assert caller.region == region


async def test_workspace_regions_come_from_facts_and_from_the_table(pool: asyncpg.Pool) -> None:
    from_facts, restarted = WorkspaceRegions(), WorkspaceRegions()
    async with pool.acquire() as conn:
        await from_facts.load(conn, FACTS, ["shop", "other"])
        assert (from_facts.of("shop"), from_facts.of("other")) == ("US", "CN")
        await fold_access_facts(conn, FACTS)
        await restarted.load(conn, [], ["shop", "other", "unknown"])
    assert [restarted.of(name) for name in ("shop", "other", "unknown")] == ["US", "CN", "CN"]
