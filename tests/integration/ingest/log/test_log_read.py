"""Tests reading: nothing skipped, nothing reordered, however many replicas append at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from integration.ingest.log.conftest import SHARDS, Logs, make_fact, make_facts
from service_fixtures import wait_until

from services.ingest.domain.facts import FactRow
from services.ingest.log import EventLog, NewFact
from services.ingest.log.store import PAGE_BYTES, PAGE_ROWS, Q
from services.kernel.errors import OnefoldError
from services.kernel.ids import LeafId

#: Whether a reader has read enough rows.
IsDone = Callable[[list[FactRow]], bool]


async def read_while_appending(
    log: EventLog, shard: int, first: int, is_done: IsDone
) -> list[FactRow]:
    """Read the rows of a shard as they are appended: from memory, else from the table."""
    rows: list[FactRow] = []
    recent = log.recent.shards[shard]

    async def read_more() -> bool:
        offset = rows[-1].offset + 1 if rows else first
        page = recent.read(offset, PAGE_ROWS)
        if page and page[0].offset > offset:
            page = []
        rows.extend(page or await log.reader.page(shard, offset, offset + PAGE_ROWS))
        return is_done(rows)

    await wait_until(read_more)
    return rows


def has(count: int) -> IsDone:
    return lambda rows: len(rows) >= count


def make_shard_fact(shard: int, name: str) -> NewFact:
    return make_fact(name, leaf_id=LeafId(shard.to_bytes(8, "big") + bytes(8)))


async def test_readers_of_sixteen_concurrent_appenders_see_every_fact_once_in_order(
    logs: Logs,
) -> None:
    """The law of the log, with appenders in four replicas, and readers in one of them and a fifth.

    The fifth replica appends nothing, so it reads all of it from the table.
    """
    appenders, calls = 16, 40
    replicas = [await logs.replica() for _ in range(4)]
    reader = await logs.replica()
    random_of = {n: random.Random(n) for n in range(appenders)}

    async def append(number: int) -> int:
        log, chance, total = replicas[number % 4], random_of[number], 0
        for call in range(calls):
            size = chance.choice([1, 1, 2, 7, 300]) if call % 10 == 0 else chance.randint(1, 12)
            facts = make_facts([f"{number}-{call}-{n}" for n in range(size)])
            total += (await log.append(facts)).appended
        return total

    def has_the_last(rows: list[FactRow]) -> bool:
        return bool(rows) and rows[-1].payload == b"payload of the last"

    readers = [
        asyncio.create_task(read_while_appending(log, shard, 0, has_the_last))
        for log in (reader, replicas[0])
        for shard in range(SHARDS)
    ]
    async with asyncio.timeout(120):
        totals = await asyncio.gather(*(append(number) for number in range(appenders)))
        await replicas[1].append([make_fact("the last", leaf_id=None)])
        read = await asyncio.gather(*readers)
    ends = await logs.check_shards()
    assert sum(ends.values()) == sum(totals) + SHARDS
    for rows in read:
        assert [row.offset for row in rows] == list(range(ends[rows[0].shard]))
        assert len({row.fact_id for row in rows}) == len(rows)
        instants = [row.recorded_at_us for row in rows]
        assert instants == sorted(instants)


async def test_appended_rows_are_read_from_the_memory_of_their_replica(event_log: EventLog) -> None:
    reading = asyncio.create_task(read_while_appending(event_log, 1, 0, has(3)))
    for name in "abc":
        await event_log.append([make_shard_fact(1, name), make_shard_fact(2, name)])
    assert [row.payload for row in await reading] == [
        f"payload of {name}".encode() for name in "abc"
    ]
    assert event_log.recent.shards[1].read(0, 10) == await event_log.reader.page(1, 0, 10)


async def test_reader_can_begin_at_any_offset_also_beyond_the_end(event_log: EventLog) -> None:
    for name in "abcdef":
        await event_log.append([make_shard_fact(0, name)])
    assert [r.offset for r in await read_while_appending(event_log, 0, 4, has(2))] == [4, 5]
    beyond = asyncio.create_task(read_while_appending(event_log, 0, 7, has(1)))
    await event_log.append([make_shard_fact(0, "g"), make_shard_fact(0, "h")])
    assert [row.offset for row in await beyond] == [7]


async def test_pages_of_a_range_have_all_its_rows_in_order(logs: Logs, event_log: EventLog) -> None:
    large = bytes(200_000)
    facts = [make_fact(n, leaf_id=LeafId(bytes(16))) for n in range(3_000)]
    facts[1_000:1_020] = [fact._replace(payload=large) for fact in facts[1_000:1_020]]
    await event_log.append(facts)
    pages = [rows async for rows in event_log.reader.read(0, 10, 2_990)]
    assert [row.offset for rows in pages for row in rows] == list(range(10, 2_990))
    assert [row.fact_id for rows in pages for row in rows] == [f.fact_id for f in facts[10:2_990]]
    assert max(sum(len(row.payload) for row in rows) for rows in pages) < PAGE_BYTES + len(large)
    assert [rows async for rows in event_log.reader.read(0, 3_000, 5_000)] == []


async def test_gap_in_the_log_is_an_error(logs: Logs, event_log: EventLog) -> None:
    await event_log.append([make_fact(n, leaf_id=LeafId(bytes(16))) for n in range(10)])
    await logs.database.pool.execute("DELETE FROM fact WHERE fact.offset = 5")
    with pytest.raises(OnefoldError, match="gap"):
        await event_log.reader.page(0, 0, 10)


async def test_facts_of_some_kinds_are_read_by_a_replica_that_did_not_append_them(
    logs: Logs, event_log: EventLog
) -> None:
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


async def test_kind_that_another_replica_added_is_loaded_when_it_is_read(logs: Logs) -> None:
    writer, reader = await logs.replica(), await logs.replica()
    await writer.append([make_fact("a", leaf_id=LeafId(bytes(16)), kind="new.Kind")])
    [row] = await reader.reader.page(0, 0, 10)
    assert reader.kinds.names[row.kind_id] == "new.Kind"


async def test_facts_of_leaves_are_found_by_their_index_also_when_the_plan_is_of_a_small_log(
    event_log: EventLog, logs: Logs
) -> None:
    """A connection keeps the plan that it made before the log grew, until statistics are new."""
    leaf = make_fact("a").leaf_id
    types = "text, smallint[], bytea[], bigint[], bigint, bigint, int, bigint"
    arrays = f"ARRAY[0]::smallint[], ARRAY['\\x{leaf.hex()}'::bytea], ARRAY[9]"
    arguments = f"'shop', {arrays}, 9, 9, 9, 0"
    async with logs.database.pool.acquire() as conn:
        await event_log.append(make_facts(range(10)))
        await conn.execute("ANALYZE fact")
        await conn.execute(f"PREPARE facts ({types}) AS {Q.leaf_facts}")
        for _ in range(6):
            await conn.execute(f"EXECUTE facts ({arguments})")
        rows = await conn.fetch(f"EXPLAIN EXECUTE facts ({arguments})")
    plan = "\n".join(row[0] for row in rows)
    assert "fact_leaf on fact" in plan, plan
