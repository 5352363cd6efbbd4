"""Tests the newest rows in memory: contiguous, bounded, and never behind."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.facts import FactRow
from services.ingest.log.recent import RecentFacts, ShardRecent
from services.kernel.tokens import Token


def row(offset: int, shard: int = 0, payload: bytes = b"") -> FactRow:
    return FactRow(offset, 0, 0, shard, 1, bytes(16), None, "", "", "", payload, bytes(16))


def offsets(recent: ShardRecent, first: int, limit: int = 100) -> list[int]:
    return [row.offset for row in recent.read(first, limit)]


def test_added_rows_can_be_read_from_any_offset() -> None:
    recent = ShardRecent(1 << 20)
    recent.observe_end(5)
    for offset in range(5, 9):
        recent.add([row(offset)])
    assert offsets(recent, 5) == [5, 6, 7, 8]
    assert offsets(recent, 7, 1) == [7]
    assert offsets(recent, 4) == []
    assert offsets(recent, 9) == []
    assert recent.end == 9


def test_rows_after_those_of_another_replica_replace_the_older_ones() -> None:
    recent = ShardRecent(1 << 20)
    recent.add([row(0)])
    recent.add([row(4)])
    assert offsets(recent, 0) == []
    assert offsets(recent, 4) == [4]


def test_rows_below_an_observed_end_are_left_out() -> None:
    recent = ShardRecent(1 << 20)
    recent.observe_end(3)
    recent.add([row(2)])
    assert recent.end == 3
    recent.add([row(1), row(2), row(3)])
    assert offsets(recent, 3) == [3]


def test_memory_is_bounded_by_bytes() -> None:
    recent = ShardRecent(10_000)
    for offset in range(100):
        recent.add([row(offset, payload=bytes(600))])
    newest = offsets(recent, 99 - len(recent.read(95, 100)))
    assert 1 <= len(newest) <= 10
    assert offsets(recent, 99) == [99]
    assert offsets(recent, 50) == []


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4)), max_size=40), st.integers(0, 60))
def test_read_rows_are_contiguous_from_the_first_to_the_end(
    steps: list[tuple[bool, int]], first: int
) -> None:
    recent = ShardRecent(6_000)
    end = 0
    for ours, size in steps:
        if ours:
            if size == 4:  # the table shows a part of the commit before it is added
                recent.observe_end(end + 2)
            recent.add([row(offset, payload=bytes(400)) for offset in range(end, end + size)])
        elif size > 2:
            recent.observe_end(end + size)
        end += size
    found = offsets(recent, first)
    assert found == list(range(first, first + len(found)))
    assert not found or found[-1] == recent.end - 1


async def test_added_rows_wake_those_that_wait_for_their_shard() -> None:
    recent = RecentFacts(2)
    waiting = asyncio.create_task(recent.shards[1].wait())
    await asyncio.sleep(0)
    recent.add([row(0, shard=0)])
    await asyncio.sleep(0)
    assert not waiting.done()
    recent.add([row(0, shard=1)])
    await waiting


async def test_new_observed_end_wakes_waiting_readers() -> None:
    recent = RecentFacts(2)
    recent.observe_ends(Token((9, 3)))
    waiting = asyncio.create_task(recent.shards[1].wait())
    await asyncio.sleep(0)
    recent.observe_ends(Token((9, 3)))
    await asyncio.sleep(0)
    assert not waiting.done()
    recent.observe_ends(Token((9, 4)))
    await waiting
