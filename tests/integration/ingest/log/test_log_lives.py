"""Tests the log on a database that goes back, hangs, is not durable, or has a wrong clock."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import asyncpg
import pytest
from integration.ingest.log.conftest import SHARDS, Logs, make_fact, make_facts

from services.ingest.log import EventLog
from services.ingest.log.clock import LogClock
from services.kernel.errors import StoreUnavailable
from tests.service_fixtures import wait_until

HOUR_US = 3_600_000_000


async def go_back(logs: Logs, facts: int) -> None:
    """Take the newest facts of each shard away, and end all sessions, as a failover does."""
    await logs.fetch(
        "WITH cut AS (UPDATE head SET next = greatest(0, next - $1) RETURNING shard, next)"
        " DELETE FROM fact USING cut"
        " WHERE fact.shard = cut.shard AND fact.offset >= cut.next",
        facts,
    )
    await logs.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


async def append_when_possible(log: EventLog, names: list[str]) -> int:
    """Return how many facts were appended, once the log is there again."""

    async def attempt() -> tuple[int]:
        try:
            return ((await log.append(make_facts(names))).appended,)
        except StoreUnavailable:
            return ()  # type: ignore[return-value]

    [appended] = await wait_until(attempt)
    return appended


async def test_facts_that_a_failover_lost_are_appended_when_they_are_sent_again(logs: Logs) -> None:
    log = await logs.replica()
    names = [f"event {number}" for number in range(100)]
    assert (await log.append(make_facts(names))).appended == 100
    await go_back(logs, 10_000)
    assert await append_when_possible(log, names) == 100
    assert sum((await logs.check_shards()).values()) == 100


async def test_rows_in_memory_are_those_of_the_database_after_it_went_back(logs: Logs) -> None:
    log = await logs.replica()
    await log.append(make_facts([f"lost {number}" for number in range(40)]))
    await go_back(logs, 10_000)
    new = [f"new {number}" for number in range(8)]
    await append_when_possible(log, new)
    ends = await logs.check_shards()
    for shard, recent in enumerate(log.recent.shards):
        assert recent.end == ends[shard]
        stored = await log.reader.page(shard, 0, 1_000)
        assert recent.read(0, 1_000) == stored


async def test_kinds_are_read_again_from_a_database_that_went_back(logs: Logs) -> None:
    log = await logs.replica()
    await log.append([make_fact("a", kind="onefold.type.v1.Lost")])
    await logs.fetch("DELETE FROM fact")
    await logs.fetch("UPDATE head SET next = 0")
    await logs.fetch("DELETE FROM kind")
    await logs.fetch("INSERT INTO kind (kind_id, name) OVERRIDING SYSTEM VALUE VALUES (1, 'other')")
    await go_back(logs, 0)

    async def attempt() -> bool:
        try:
            await log.append([make_fact("a", kind="onefold.type.v1.Lost")])
        except StoreUnavailable:
            return False
        return True

    await wait_until(attempt)
    rows = await logs.fetch("SELECT k.name FROM fact JOIN kind AS k USING (kind_id)")
    assert [row["name"] for row in rows] == ["onefold.type.v1.Lost"]


async def test_log_whose_commits_are_not_durable_is_not_opened(logs: Logs) -> None:
    await _set_for_database(logs, "synchronous_commit = off")
    with pytest.raises(StoreUnavailable, match="synchronous_commit"):
        await logs.replica()


async def test_append_is_refused_where_commits_became_not_durable(logs: Logs) -> None:
    log = await logs.replica()
    assert (await log.append(make_facts(["before"]))).appended == 1
    await _set_for_database(logs, "synchronous_commit = off")
    await go_back(logs, 0)

    async def reason() -> str:
        try:
            await log.append(make_facts(["after"]))
        except StoreUnavailable as error:
            return str(error) if "synchronous_commit" in str(error) else ""
        raise AssertionError("a commit that is not durable was acknowledged")

    assert await wait_until(reason)
    await _set_for_database(logs, "synchronous_commit = on")
    assert await append_when_possible(log, ["after"]) == 1


async def _set_for_database(logs: Logs, setting: str) -> None:
    [row] = await logs.fetch("SELECT current_database() AS name")
    await logs.fetch(f"ALTER DATABASE {row['name']} SET {setting}")


async def test_clock_of_postgres_that_is_far_ahead_is_refused_until_it_is_right(logs: Logs) -> None:
    machine_us = time.time_ns() // 1_000 - 3 * HOUR_US
    clock = LogClock(machine_us=lambda: machine_us)
    log = await logs.replica(clock=clock)
    with pytest.raises(StoreUnavailable, match="MAX_CLOCK_AHEAD"):
        await log.append(make_facts(["small"]))
    with pytest.raises(StoreUnavailable, match="MAX_CLOCK_AHEAD"):
        await log.append(make_facts([f"large {number}" for number in range(400)]))
    with pytest.raises(StoreUnavailable, match="MAX_CLOCK_AHEAD"):
        await log.tick()
    heads = await log.heads()
    assert heads.now_us <= machine_us + HOUR_US
    assert heads.token.offsets in ((), (0,) * SHARDS)
    machine_us += 3 * HOUR_US
    assert (await log.append(make_facts(["small"]))).appended == 1
    # The log has recorded this time: a machine that is late does not stop it.
    machine_us -= 3 * HOUR_US
    assert (await log.append([make_fact("small", leaf_id=None)])).appended in (0, 1)


async def test_clock_that_an_operator_accepts_is_recorded(logs: Logs) -> None:
    machine_us = time.time_ns() // 1_000 - 3 * HOUR_US
    log = await logs.replica(clock=LogClock(lambda: machine_us, max_ahead_s=4 * 3_600))
    assert (await log.append(make_facts(["a"]))).appended == 1


@pytest.mark.parametrize("facts", [3, 400], ids=["small", "large"])
async def test_append_that_hangs_inside_its_copy_is_ended_by_another_replica(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, facts: int
) -> None:
    monkeypatch.setattr("services.ingest.log.connection._TIMEOUT_S", 2.0)
    monkeypatch.setattr("services.ingest.log.connection.HUNG_CLIENT_S", 0.1)
    monkeypatch.setattr(
        "services.ingest.log.writer._BEGIN", "BEGIN; SET LOCAL lock_timeout = '300ms'"
    )
    log = await logs.replica()
    names = [f"event {number}" for number in range(facts)]
    hung = await logs.database.connect()
    hanging = asyncio.Event()
    never = asyncio.Event()

    async def hang() -> None:
        async def source() -> object:
            hanging.set()
            await never.wait()
            yield b""

        async with hung.transaction():
            await hung.fetch("SELECT * FROM head FOR UPDATE")
            await hung.copy_to_table("fact", source=source(), format="binary")

    task = asyncio.create_task(hang())
    await hanging.wait()
    try:
        # An attempt that timed out may have appended them: then they are duplicates.
        await append_when_possible(log, names)
        assert sum((await logs.check_shards()).values()) == facts
    finally:
        task.cancel()
        with suppress(
            asyncio.CancelledError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError
        ):
            await task
        hung.terminate()
