"""What a service has deleted of a person is reported once, and as the sum of all shards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest_asyncio
from onefold.log.v1.erasure_pb2 import ErasureFolded
from onefold.log.v1.log_pb2 import Fact

from services import chassis
from services.chassis.projection.erased_rows import ErasureReports, save_erased_rows
from services.kernel.erasures import PersonErasure
from services.kernel.errors import Conflict, StoreUnavailable
from services.kernel.ids import WorkspaceId

SCHEMA = sorted((Path(chassis.__file__).parent / "store" / "migrations").glob("*_erased_rows.sql"))
NONE: frozenset[bytes] = frozenset()
SHARDS = 2


class FakeLog:
    """A log that has one content for each id, and may be away."""

    def __init__(self) -> None:
        self.facts: dict[bytes, Fact] = {}
        self.is_away = False

    async def append(self, facts: list[Fact]) -> None:
        if self.is_away:
            raise StoreUnavailable("away")
        for fact in facts:
            if self.facts.setdefault(fact.fact_id, fact) != fact:
                raise Conflict("another content")

    def rows(self) -> list[tuple[bytes, str, dict[str, int]]]:
        found = [ErasureFolded.FromString(fact.payload) for fact in self.facts.values()]
        return [(one.request_id, one.service, dict(one.rows)) for one in found]


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(database, min_size=1, max_size=2) as made:
        for file in SCHEMA:
            await made.execute(file.read_text("utf-8"))
        yield made


def person(number: int) -> PersonErasure:
    return PersonErasure(WorkspaceId("shop"), bytes([number]) * 16, NONE, NONE, NONE, 1)


async def save(pool: asyncpg.Pool, number: int, shard: int, **rows: int) -> None:
    async with pool.acquire() as conn:
        await save_erased_rows(conn, person(number), shard, rows)


async def test_report_waits_for_every_shard_and_is_their_sum(pool: Any) -> None:
    log = FakeLog()
    reports = ErasureReports(pool, log, "profile", SHARDS)  # type: ignore[arg-type]
    assert await reports.report_once() == 0
    await save(pool, 1, 0, leaves=2, names=1)
    await save(pool, 2, 0, leaves=5)
    assert await reports.report_once() == 0
    await save(pool, 1, 1, leaves=3)
    await save(pool, 1, 1, leaves=99)  # a shard is counted once
    assert await reports.report_once() == 1
    assert log.rows() == [(bytes([1]) * 16, "profile", {"leaves": 5, "names": 1})]
    await save(pool, 2, 1)
    assert await reports.report_once() == 1
    assert log.rows()[1] == (bytes([2]) * 16, "profile", {"leaves": 5})
    assert await pool.fetchval("SELECT count(*) FROM erased_rows") == 0


async def test_report_that_is_not_acknowledged_is_repeated_and_the_first_one_counts(
    pool: Any,
) -> None:
    log = FakeLog()
    reports = ErasureReports(pool, log, "segment", SHARDS)  # type: ignore[arg-type]
    for shard in range(SHARDS):
        await save(pool, 1, shard, membership_changes=shard + 1)
    log.is_away = True
    try:
        await reports.report_once()
    except StoreUnavailable:
        log.is_away = False
    assert await reports.report_once() == 1
    # A rebuilt state folds the erasure again, and finds nothing to delete.
    for shard in range(SHARDS):
        await save(pool, 1, shard, membership_changes=0)
    assert await reports.report_once() == 1
    assert log.rows() == [(bytes([1]) * 16, "segment", {"membership_changes": 3})]
    assert await reports.report_once() == 0
