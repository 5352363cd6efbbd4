"""Followers: nothing skipped, nothing reordered, whoever appends, however many at once."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing

import pytest
from integration.ingest.log.conftest import SHARDS, Logs, make_fact, make_facts

from services.ingest.domain.facts import FactRow
from services.ingest.log import EventLog, NewFact
from services.ingest.log.reader import PAGE_BYTES
from services.kernel.errors import InvalidField, OnefoldError
from services.kernel.ids import LeafId


async def follow(log: EventLog, shard: int, first: int, count: int) -> list[FactRow]:
    """The next rows, so many, one after another."""
    seen: list[FactRow] = []
    async with asyncio.timeout(60), aclosing(log.follow(shard, first)) as pages:
        while len(seen) < count:
            seen += await anext(pages)
    return seen


def in_shard(shard: int, name: str) -> NewFact:
    return make_fact(name, leaf_id=LeafId(shard.to_bytes(8, "big") + bytes(8)))


async def test_sixteen_appenders_and_followers_of_another_replica(logs: Logs) -> None:
    """The law of the log: what 16 appenders in four replicas commit is seen once and in order."""
    appenders, calls = 16, 40
    replicas = [await logs.replica() for _ in range(4)]
    reader = await logs.replica(poll_s=0.005)
    sizes = {n: random.Random(n) for n in range(appenders)}

    async def append(number: int) -> int:
        log, chance, total = replicas[number % 4], sizes[number], 0
        for call in range(calls):
            size = chance.choice([1, 1, 2, 7, 300]) if call % 10 == 0 else chance.randint(1, 12)
            facts = make_facts([f"{number}-{call}-{n}" for n in range(size)])
            total += (await log.append(facts)).appended
        return total

    async def see(log: EventLog, shard: int) -> list[FactRow]:
        seen: list[FactRow] = []
        async with aclosing(log.follow(shard, 0)) as pages:
            while not seen or seen[-1].payload != b"payload of the last":
                seen += await anext(pages)
        return seen

    following = [see(log, shard) for log in (reader, replicas[0]) for shard in range(SHARDS)]
    followers = [asyncio.create_task(coroutine) for coroutine in following]
    async with asyncio.timeout(120):
        totals = await asyncio.gather(*(append(number) for number in range(appenders)))
        await replicas[1].append([make_fact("the last", leaf_id=None)])
        seen = await asyncio.gather(*followers)
    ends = await logs.check_whole()
    assert sum(ends.values()) == sum(totals) + SHARDS
    for rows in seen:
        assert [row.offset for row in rows] == list(range(ends[rows[0].shard]))
        assert len({row.fact_id for row in rows}) == len(rows)
        instants = [row.recorded_at_us for row in rows]
        assert instants == sorted(instants)


async def test_a_follower_sees_what_its_own_replica_appends(event_log: EventLog) -> None:
    following = asyncio.create_task(follow(event_log, 1, 0, 3))
    for name in "abc":
        await event_log.append([in_shard(1, name), in_shard(2, name)])
    assert [row.payload for row in await following] == [
        f"payload of {name}".encode() for name in "abc"
    ]


async def test_a_follower_may_begin_anywhere(event_log: EventLog) -> None:
    for name in "abcdef":
        await event_log.append([in_shard(0, name)])
    assert [row.offset for row in await follow(event_log, 0, 4, 2)] == [4, 5]
    beyond = asyncio.create_task(follow(event_log, 0, 7, 1))
    await event_log.append([in_shard(0, "g"), in_shard(0, "h")])
    assert [row.offset for row in await beyond] == [7]


async def test_a_shard_that_is_not_there_cannot_be_followed(event_log: EventLog) -> None:
    with pytest.raises(InvalidField):
        await follow(event_log, SHARDS, 0, 1)


async def test_reading_in_pages_gives_everything_in_order(logs: Logs, event_log: EventLog) -> None:
    large = bytes(200_000)
    facts = [make_fact(n, leaf_id=LeafId(bytes(16))) for n in range(3_000)]
    facts[1_000:1_020] = [fact._replace(payload=large) for fact in facts[1_000:1_020]]
    await event_log.append(facts)
    pages = [rows async for rows in event_log.reader.read(0, 10, 2_990)]
    assert [row.offset for rows in pages for row in rows] == list(range(10, 2_990))
    assert [row.fact_id for rows in pages for row in rows] == [f.fact_id for f in facts[10:2_990]]
    assert max(sum(len(row.payload) for row in rows) for rows in pages) < PAGE_BYTES + len(large)
    assert [rows async for rows in event_log.reader.read(0, 3_000, 5_000)] == []


async def test_a_hole_is_never_passed_over(logs: Logs, event_log: EventLog) -> None:
    await event_log.append([make_fact(n, leaf_id=LeafId(bytes(16))) for n in range(10)])
    await logs.database.pool.execute("DELETE FROM fact WHERE fact.offset = 5")
    with pytest.raises(OnefoldError, match="hole"):
        await event_log.reader.page(0, 0, 10)


async def test_some_kinds_can_be_read(logs: Logs, event_log: EventLog) -> None:
    facts = [
        make_fact(n, leaf_id=LeafId(bytes(16)), kind="b.B" if n % 3 == 0 else "a.A")
        for n in range(2_000)
    ]
    await event_log.append(facts)
    other = await logs.replica()
    found = [row async for rows in other.reader.read_kinds(0, 3, 1_999, ["b.B"]) for row in rows]
    assert [row.offset for row in found] == list(range(3, 1_999, 3))
    assert {other.kinds.names[row.kind_id] for row in found} == {"b.B"}
    assert [rows async for rows in other.reader.read_kinds(0, 0, 2_000, ["no.Such"])] == []


async def test_a_kind_that_another_replica_met_first_is_learnt(logs: Logs) -> None:
    writer, reader = await logs.replica(), await logs.replica()
    await writer.append([make_fact("a", leaf_id=LeafId(bytes(16)), kind="new.Kind")])
    [row] = await reader.reader.page(0, 0, 10)
    assert reader.kinds.names[row.kind_id] == "new.Kind"
