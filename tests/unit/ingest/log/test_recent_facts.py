"""Tests the newest rows in memory: in order, bounded, and with gaps where others appended."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.facts import FactRow
from services.ingest.log.recent import RecentFacts, ShardRecent


def row(offset: int, shard: int = 0, payload: bytes = b"") -> FactRow:
    return FactRow(offset, 0, 0, shard, 1, bytes(16), None, "", "", "", payload, bytes(16))


def offsets(recent: ShardRecent, first: int, limit: int = 100) -> list[int]:
    return [row.offset for row in recent.read(first, limit)]


def test_added_rows_can_be_read_from_any_offset() -> None:
    recent = ShardRecent(1 << 20)
    for offset in range(5, 9):
        recent.add([row(offset)])
    assert offsets(recent, 5) == [5, 6, 7, 8]
    assert offsets(recent, 7, 1) == [7]
    assert offsets(recent, 4) == [5, 6, 7, 8]
    assert offsets(recent, 9) == []
    assert recent.end == recent.appended == 9


def test_rows_of_other_processes_leave_a_gap() -> None:
    recent = ShardRecent(1 << 20)
    for first in (0, 4, 5, 9):
        recent.add([row(first), row(first + 1)] if first != 5 else [row(6)])
    assert offsets(recent, 0) == [0, 1]
    assert offsets(recent, 2) == [4, 5, 6]
    assert offsets(recent, 2, 2) == [4, 5]
    assert offsets(recent, 7) == [9, 10]


def test_observed_end_is_not_that_of_the_rows_of_this_process() -> None:
    recent = ShardRecent(1 << 20)
    recent.observe_end(3)
    recent.add([row(1)])
    assert (recent.end, recent.appended) == (3, 2)
    assert offsets(recent, 0) == [1]
    recent.reset(1)
    assert (recent.end, recent.appended) == (1, 1)
    assert offsets(recent, 0) == []


def test_memory_is_bounded_by_bytes() -> None:
    recent = ShardRecent(10_000)
    for offset in range(100):
        recent.add([row(offset, payload=bytes(600))])
    newest = offsets(recent, 0)
    assert 1 <= len(newest) <= 10
    assert newest[-1] == 99


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4)), max_size=40), st.integers(0, 60))
def test_read_rows_are_the_next_contiguous_ones_of_this_process(
    steps: list[tuple[bool, int]], first: int
) -> None:
    recent = ShardRecent(6_000)
    end, own = 0, []
    for ours, size in steps:
        if ours:
            own += range(end, end + size)
            recent.add([row(offset, payload=bytes(400)) for offset in range(end, end + size)])
        else:
            recent.observe_end(end + size)
        end += size
    found = offsets(recent, first)
    held = [row.offset for row in recent._rows]
    later = [offset for offset in held if offset >= first]
    expected = [offset for n, offset in enumerate(later) if offset == later[0] + n]
    assert found == expected
    assert own[len(own) - len(held) :] == held


async def test_added_rows_wake_those_that_wait_for_their_shard() -> None:
    recent = RecentFacts(2)
    waiting = asyncio.create_task(recent.shards[1].wait())
    await asyncio.sleep(0)
    recent.add([row(0, shard=0)])
    await asyncio.sleep(0)
    assert not waiting.done()
    recent.add([row(0, shard=1)])
    await waiting
