"""Tests the log's clock: ticks while the log is idle, and a clock that can be moved ahead."""

from __future__ import annotations

import asyncio
import itertools

from integration.ingest.log.conftest import SHARDS, Logs, make_fact, make_facts
from onefold.log.v1.log_pb2 import ClockTicked
from service_fixtures import wait_until

from services.ingest.log import EventLog
from services.ingest.log.clock import tick_while_idle
from services.kernel.ids import LeafId
from services.kernel.time import DAY_US, SECOND_US
from services.kernel.tokens import Token

TICKS = "SELECT * FROM fact JOIN kind USING (kind_id) WHERE name = 'onefold.log.v1.ClockTicked'"


async def test_tick_is_in_every_shard_at_one_instant(logs: Logs, event_log: EventLog) -> None:
    await event_log.append(make_facts(range(30)))
    tick = await event_log.tick()
    rows = await logs.fetch(TICKS)
    assert sorted(row["shard"] for row in rows) == list(range(SHARDS))
    assert {row["recorded_at"] for row in rows} == {tick.recorded_at_us}
    assert {ClockTicked.FromString(row["payload"]).now_us for row in rows} == {tick.recorded_at_us}
    assert len({row["fact_id"] for row in rows}) == 1
    assert tick.token == (await event_log.heads()).token
    await logs.check_shards()


async def test_tick_is_later_than_every_fact_before_it(logs: Logs, event_log: EventLog) -> None:
    instants = [(await event_log.tick()).recorded_at_us for _ in range(5)]
    assert instants == sorted(set(instants))
    appended = await event_log.append([make_fact("a")])
    assert appended.recorded_at_us >= instants[-1]
    assert (await event_log.tick()).recorded_at_us > appended.recorded_at_us
    await logs.check_shards()


async def test_advance_moves_the_clock_of_all_replicas(logs: Logs, event_log: EventLog) -> None:
    other = await logs.replica()
    before = (await event_log.heads()).now_us
    tick = await event_log.tick(advance_us=8 * DAY_US)
    assert tick.recorded_at_us >= before + 8 * DAY_US
    assert event_log.clock.now_us() >= tick.recorded_at_us > other.clock.now_us()
    appended = await other.append([make_fact("a")])
    assert appended.recorded_at_us >= tick.recorded_at_us
    assert other.clock.now_us() >= tick.recorded_at_us
    assert (await other.heads()).now_us >= appended.recorded_at_us
    await logs.check_shards()


async def test_tick_with_an_idle_condition_appends_only_where_a_shard_is_idle(
    logs: Logs, event_log: EventLog
) -> None:
    first = await event_log.tick()
    idle = await event_log.tick(idle_since_us=first.recorded_at_us - 1)
    assert (idle.appended, idle.token) == (0, Token())
    await event_log.append([make_fact("a", leaf_id=LeafId(bytes(16)))])
    second = await event_log.tick(idle_since_us=first.recorded_at_us)
    assert second.appended == 1  # three shards have no fact since the first tick
    assert second.recorded_at_us > first.recorded_at_us
    assert len(await logs.fetch(TICKS)) == 2 * SHARDS


async def test_one_of_several_replicas_ticks(logs: Logs) -> None:
    replicas = [await logs.replica() for _ in range(3)]
    first = await replicas[0].tick()
    ticks = (log.tick(idle_since_us=first.recorded_at_us) for log in replicas)
    results = await asyncio.gather(*ticks)
    assert sum(result.appended for result in results) == 1


async def test_ticker_ticks_at_its_interval_until_it_is_cancelled(
    logs: Logs, event_log: EventLog
) -> None:
    task = asyncio.create_task(tick_while_idle(event_log, interval_s=0.05))

    async def has_ticked() -> bool:
        return len(await logs.fetch(TICKS)) >= 3 * SHARDS

    await wait_until(has_ticked)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    rows = await logs.fetch("SELECT DISTINCT recorded_at FROM fact ORDER BY 1")
    gaps = [b["recorded_at"] - a["recorded_at"] for a, b in itertools.pairwise(rows)]
    assert all(gap >= 0.05 * SECOND_US for gap in gaps)


async def test_repeated_facts_leave_a_shard_idle(logs: Logs, event_log: EventLog) -> None:
    await event_log.append(make_facts(range(50)))
    before = await event_log.heads()
    await event_log.append(make_facts(range(50)))
    after = await event_log.heads()
    assert (after.oldest_us, after.token) == (before.oldest_us, before.token)
    assert after.token != Token()
