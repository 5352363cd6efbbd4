"""Tests appending: each fact once, without gaps, in the order of time, despite failures."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from integration.ingest.log.conftest import SHARDS, Logs, make_fact, make_facts
from properties import examples
from service_fixtures import QUICK

from services.chassis.postgres.database import Database
from services.chassis.postgres.migrate import migrate
from services.devstack.postgres import PostgresServer
from services.ingest.log import EventLog, NewFact
from services.ingest.log.writer import CONTENDED_AFTER, SMALL_BATCH
from services.kernel.errors import Conflict, StoreUnavailable
from services.kernel.ids import shard_of
from services.kernel.tokens import Token
from tests.index_key import INDEX_KEY


@pytest.mark.parametrize("size", [1, SMALL_BATCH, SMALL_BATCH + 1, 3_000])
async def test_new_facts_are_stored_with_consecutive_offsets(
    logs: Logs, event_log: EventLog, size: int
) -> None:
    facts = make_facts(range(size))
    appended = await event_log.append(facts)
    assert (appended.appended, appended.duplicates, appended.conflicting) == (size, set(), set())
    ends = await logs.check_shards()
    assert sum(ends.values()) == size
    assert appended.token == Token.from_offsets({s: end for s, end in ends.items() if end})
    stored = await logs.fetch("SELECT shard, fact_id, fact.offset FROM fact")
    recent = [row for shard in event_log.recent.shards for row in shard.read(0, size)]
    assert {(shard_of(f.leaf_id or b"", SHARDS), f.fact_id) for f in facts} == {
        (row["shard"], row["fact_id"]) for row in stored
    }
    assert {(row["shard"], row["fact_id"], row["offset"]) for row in stored} == {
        (row.shard, row.fact_id, row.offset) for row in recent
    }


async def test_stored_fact_has_every_field_of_the_new_one(logs: Logs, event_log: EventLog) -> None:
    fact = make_fact("one", payload=bytes(range(256)), source_id="", actor="Zoë", occurred_at_us=7)
    appended = await event_log.append([fact])
    [row] = await logs.fetch("SELECT * FROM fact JOIN kind USING (kind_id)")
    assert row["fact_id"] == fact.fact_id
    assert row["leaf_id"] == fact.leaf_id
    assert (row["workspace_id"], row["name"]) == (fact.workspace_id, fact.kind)
    assert (row["source_id"], row["actor"], row["payload"]) == ("", "Zoë", fact.payload)
    assert (row["occurred_at"], row["recorded_at"]) == (7, appended.recorded_at_us)


@pytest.mark.parametrize("size", [3, SMALL_BATCH + 50])
async def test_repeated_fact_is_counted_and_not_stored(
    logs: Logs, event_log: EventLog, size: int
) -> None:
    facts = make_facts(range(size))
    first = await event_log.append(facts)
    for _ in range(2):  # without, and with a lookup
        again = await event_log.append(facts)
        assert (again.appended, again.duplicates) == (0, frozenset(range(size)))
        assert again.token == first.token
    some_new = await event_log.append([*facts, make_fact("new")])
    assert (some_new.appended, some_new.duplicates) == (1, frozenset(range(size)))
    assert sum((await logs.check_shards()).values()) == size + 1


async def test_repeated_fact_is_a_duplicate_after_a_restart(logs: Logs) -> None:
    facts = make_facts(range(20))
    await (await logs.replica()).append(facts)
    again = await (await logs.replica()).append(facts)
    assert (again.appended, len(again.duplicates)) == (0, 20)
    await logs.check_shards()


@pytest.mark.parametrize("size", [2, SMALL_BATCH + 50])
async def test_existing_id_with_other_content_is_conflicting(
    logs: Logs, event_log: EventLog, size: int
) -> None:
    facts = make_facts(range(size))
    await event_log.append(facts[:1])
    others = [make_fact(0, payload=b"other"), *facts[1:]]
    appended = await event_log.append(others)
    assert (appended.appended, appended.conflicting) == (size - 1, frozenset({0}))
    rows = await logs.fetch("SELECT payload FROM fact WHERE fact_id = $1", facts[0].fact_id)
    assert [row["payload"] for row in rows] == [facts[0].payload]


async def test_atomic_call_with_a_conflict_appends_nothing(logs: Logs, event_log: EventLog) -> None:
    await event_log.append([make_fact("known")], atomic=True)
    for _ in range(2):
        with pytest.raises(Conflict):
            await event_log.append(
                [make_fact("new"), make_fact("known", payload=b"other")], atomic=True
            )
    assert sum((await logs.check_shards()).values()) == 1


async def test_atomic_call_that_conflicts_with_itself_appends_nothing(
    logs: Logs, event_log: EventLog
) -> None:
    with pytest.raises(Conflict):
        await event_log.append([make_fact("a"), make_fact("a", payload=b"other")], atomic=True)
    assert sum((await logs.check_shards()).values()) == 0


async def test_broadcast_fact_is_in_every_shard(logs: Logs, event_log: EventLog) -> None:
    fact = make_fact("definition", leaf_id=None)
    first = await event_log.append([fact, make_fact("event")])
    again = await event_log.append([fact])
    assert (first.appended, again.appended, again.duplicates) == (2, 0, frozenset({0}))
    rows = await logs.fetch("SELECT shard FROM fact WHERE leaf_id IS NULL ORDER BY shard")
    assert [row["shard"] for row in rows] == list(range(SHARDS))
    assert first.token == again.token


async def test_empty_call_appends_nothing(event_log: EventLog) -> None:
    assert (await event_log.append([])).appended == 0


async def test_recorded_at_never_decreases_and_is_never_before_occurred_at(
    logs: Logs, event_log: EventLog
) -> None:
    await event_log.append([make_fact(occurred_at_us=2**61) for _ in range(10)])
    await logs.database.pool.execute("UPDATE head SET recorded_at = recorded_at + 3600000000")
    await logs.database.pool.execute(
        "ALTER TABLE fact DISABLE TRIGGER overwritten_fact;"
        "UPDATE fact SET recorded_at = h.recorded_at FROM head AS h WHERE h.shard = fact.shard;"
        "ALTER TABLE fact ENABLE TRIGGER overwritten_fact"
    )
    ahead = await event_log.append(make_facts(range(300)))
    small_batch = await event_log.append(make_facts(range(300, 310)))
    assert small_batch.recorded_at_us >= ahead.recorded_at_us
    await logs.check_shards()


async def test_invalid_fact_fails_its_own_call_only(logs: Logs, event_log: EventLog) -> None:
    bad = make_fact("bad", workspace_id="a\0b")
    wrong = make_fact("wrong", fact_id=b"short")
    results = await asyncio.gather(
        *(event_log.append([fact]) for fact in (make_fact("a"), bad, wrong, make_fact("b"))),
        return_exceptions=True,
    )
    assert [isinstance(result, Exception) for result in results] == [False, True, True, False]
    assert sum((await logs.check_shards()).values()) == 2


async def test_start_with_another_number_of_shards_fails(logs: Logs) -> None:
    await logs.replica(shards=3)
    with pytest.raises(ValueError, match="3 shards and not 4"):
        await logs.replica(shards=4)


async def test_concurrent_small_calls_share_commits(logs: Logs, event_log: EventLog) -> None:
    results = await asyncio.gather(*(event_log.append([make_fact(n)]) for n in range(400)))
    assert all(result.appended == 1 for result in results)
    assert sum((await logs.check_shards()).values()) == 400
    rows = await logs.fetch("SELECT DISTINCT recorded_at FROM fact")
    assert len(rows) < 40


async def test_cancelled_calls_leave_the_log_without_gaps(logs: Logs, event_log: EventLog) -> None:
    chance = random.Random(7)
    tasks = [asyncio.create_task(event_log.append(make_facts([n, n + 1]))) for n in range(300)]
    for task in chance.sample(tasks, 150):
        await asyncio.sleep(0)
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(r) for r in results if isinstance(r, BaseException)} <= {asyncio.CancelledError}
    await logs.check_shards()
    there = set(await logs.fact_ids())
    for number, result in enumerate(results):
        if not isinstance(result, BaseException):
            assert {fact.fact_id for fact in make_facts([number, number + 1])} <= there


async def test_appends_beside_another_process_are_one_call_each(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COPY would hold the locks of the heads while this process does something else."""
    copied: list[int] = []
    original = asyncpg.Connection.copy_to_table

    async def copy(conn: asyncpg.Connection, *args: object, **kwargs: object) -> str:
        copied.append(number)
        return await original(conn, *args, **kwargs)

    monkeypatch.setattr(asyncpg.Connection, "copy_to_table", copy)
    replicas = [await logs.replica() for _ in range(2)]
    size = SMALL_BATCH + 50
    for number in range(8):
        facts = make_facts(range(number * size, (number + 1) * size))
        assert (await replicas[number % 2].append(facts)).appended == size
    assert copied == [0, 1, 2, 3]  # each finds out by its second one
    for number in range(8, 8 + CONTENDED_AFTER + 2):
        await replicas[0].append(make_facts(range(number * size, (number + 1) * size)))
    assert copied == [0, 1, 2, 3, number]
    assert sum((await logs.check_shards()).values()) == (number + 1) * size


class Killer:
    """Terminates sessions of the log at random moments."""

    def __init__(self, logs: Logs, seed: int) -> None:
        self._logs = logs
        self._chance = random.Random(seed)
        self.killed = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0.005, 0.05))
            rows = await self._logs.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND state <> 'idle'"
            )
            self.killed += len(rows)


async def append_until_done(log: EventLog, facts: list[NewFact]) -> int:
    """Append as a client that retries; return the number of retries."""
    retries = 0
    while True:
        try:
            await log.append(facts)
        except StoreUnavailable:
            retries += 1
            await asyncio.sleep(0)
        else:
            return retries


async def test_terminated_sessions_leave_no_gap_and_lose_no_fact(logs: Logs) -> None:
    replicas = [await logs.replica() for _ in range(2)]
    killer = Killer(logs, seed=11)
    names = [f"{n}" for n in range(6_000)]
    async with asyncio.TaskGroup() as group:
        killing = group.create_task(killer.run())
        async with asyncio.TaskGroup() as appending:
            for start in range(0, len(names), 300):
                log = replicas[start // 300 % 2]
                appending.create_task(_in_parts(log, names[start : start + 300]))
        killing.cancel()
    ends = await logs.check_shards()
    assert sum(ends.values()) == len(names)
    assert await logs.fact_ids() == sorted(f.fact_id for f in make_facts(names))
    assert killer.killed > 0


async def _in_parts(log: EventLog, names: list[str]) -> None:
    for start in range(0, len(names), 30):
        await append_until_done(log, make_facts(names[start : start + 30]))


@pytest_asyncio.fixture(loop_scope="session")
async def own_server(tmp_path: Path) -> AsyncIterator[PostgresServer]:
    async with PostgresServer(tmp_path, settings=QUICK) as server:
        yield server


async def test_append_fails_while_postgres_is_down_and_succeeds_after_its_return(
    own_server: PostgresServer,
) -> None:
    await migrate(own_server.superuser_dsn, "ingest")
    async with (
        Database(own_server.superuser_dsn, "ingest") as database,
        EventLog(database.pool, shards=SHARDS, index_key=INDEX_KEY) as log,
    ):
        await log.append(make_facts(range(10)))
        await own_server.stop()
        calls = (log.append([make_fact(n)]) for n in (10, 11))
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) for result in results] == [StoreUnavailable] * 2
        with pytest.raises(StoreUnavailable):
            await log.heads()
        with pytest.raises(StoreUnavailable):
            await log.tick()
        await own_server.start()
        retries = await append_until_done(log, make_facts(range(20)))
        assert retries < 50
        assert sum((await log.heads()).token.offsets) == 20


calls_of_names = st.lists(
    st.lists(st.integers(0, 40), min_size=1, max_size=12), min_size=1, max_size=12
)


@examples(15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=calls_of_names, small_batch=st.sampled_from([0, 3, 200]))
async def test_any_batching_and_repetition_stores_the_same_facts(
    logs: Logs, calls: list[list[int]], small_batch: int
) -> None:
    await logs.database.pool.execute("TRUNCATE fact; TRUNCATE head")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.ingest.log.writer.SMALL_BATCH", small_batch)
        async with EventLog(logs.database.pool, shards=SHARDS, index_key=INDEX_KEY) as log:
            results = await asyncio.gather(*(log.append(make_facts(names)) for names in calls))
    distinct = {name for names in calls for name in names}
    assert sum(result.appended for result in results) == len(distinct)
    assert not any(result.conflicting for result in results)
    assert await logs.fact_ids() == sorted(fact.fact_id for fact in make_facts(list(distinct)))
    await logs.check_shards()


async def test_session_terminated_before_the_commit_appends_nothing(
    logs: Logs, event_log: EventLog
) -> None:
    """The server terminates the session after the rows are written and before the commit."""
    original = asyncpg.Connection.copy_to_table
    victims: list[int] = []

    async def copy_and_die(conn: asyncpg.Connection, *args: object, **kwargs: object) -> str:
        done = await original(conn, *args, **kwargs)
        if not victims:
            victims.append(conn.get_server_pid())
            await logs.fetch("SELECT pg_terminate_backend($1)", victims[0])
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncpg.Connection, "copy_to_table", copy_and_die)
        with pytest.raises(StoreUnavailable):
            await event_log.append(make_facts(range(SMALL_BATCH + 1)))
        assert sum((await logs.check_shards()).values()) == 0
        await event_log.append(make_facts(range(SMALL_BATCH + 1)))
    assert sum((await logs.check_shards()).values()) == SMALL_BATCH + 1
