"""The newest rows in memory: never a hole, never a step back."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.facts import Row
from services.ingest.log.recent import ShardTail, Tail
from services.kernel.tokens import Token


def row(offset: int, shard: int = 0, payload: bytes = b"") -> Row:
    return Row(offset, 0, 0, shard, 1, bytes(16), None, "", "", "", payload)


def offsets(tail: ShardTail, first: int, most: int = 100) -> list[int]:
    return [row.offset for row in tail.take(first, most)]


def test_what_was_added_can_be_taken_from_any_place() -> None:
    tail = ShardTail(1 << 20)
    tail.learn_end(5)
    for offset in range(5, 9):
        tail.add([row(offset)])
    assert offsets(tail, 5) == [5, 6, 7, 8]
    assert offsets(tail, 7, 1) == [7]
    assert offsets(tail, 4) == []
    assert offsets(tail, 9) == []
    assert tail.end == 9


def test_rows_after_those_of_others_begin_anew() -> None:
    tail = ShardTail(1 << 20)
    tail.add([row(0)])
    tail.add([row(4)])
    assert offsets(tail, 0) == []
    assert offsets(tail, 4) == [4]


def test_rows_that_the_table_has_told_before_are_left_out() -> None:
    tail = ShardTail(1 << 20)
    tail.learn_end(3)
    tail.add([row(2)])
    assert tail.end == 3
    tail.add([row(1), row(2), row(3)])
    assert offsets(tail, 3) == [3]


def test_only_so_many_bytes_are_kept() -> None:
    tail = ShardTail(10_000)
    for offset in range(100):
        tail.add([row(offset, payload=bytes(600))])
    kept = offsets(tail, 99 - len(tail.take(95, 100)))
    assert 1 <= len(kept) <= 10
    assert offsets(tail, 99) == [99]
    assert offsets(tail, 50) == []


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4)), max_size=40), st.integers(0, 60))
def test_taken_rows_are_contiguous_and_begin_where_asked(
    steps: list[tuple[bool, int]], first: int
) -> None:
    tail = ShardTail(6_000)
    end = 0
    for ours, size in steps:
        if ours:
            if size == 4:  # the table tells of a part before the whole is handed in
                tail.learn_end(end + 2)
            tail.add([row(offset, payload=bytes(400)) for offset in range(end, end + size)])
        elif size > 2:
            tail.learn_end(end + size)
        end += size
    taken = offsets(tail, first)
    assert taken == list(range(first, first + len(taken)))
    assert not taken or taken[-1] == tail.end - 1


async def test_a_bell_rings_for_those_who_wait() -> None:
    tail = Tail(2)
    waiting = asyncio.create_task(tail.wait_beyond(1, 0))
    await asyncio.sleep(0)
    assert tail.awaited.is_set()
    tail.add([row(0, shard=0)])
    await asyncio.sleep(0)
    assert not waiting.done()
    tail.add([row(0, shard=1)])
    await waiting
    assert not tail.awaited.is_set()


async def test_a_bell_rings_for_what_the_table_tells() -> None:
    tail = Tail(2)
    waiting = asyncio.create_task(tail.wait_beyond(1, 3))
    await asyncio.sleep(0)
    tail.learn(Token((9, 3)))
    await asyncio.sleep(0)
    assert not waiting.done()
    tail.learn(Token((9, 4)))
    await waiting
