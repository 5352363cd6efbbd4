"""Whatever the bus does, what a worker takes in is the whole shard, once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy.heard import HeardTail, Range

from services.chassis.messaging.stream import StreamMessage
from services.chassis.projection.consumer import Limits, ShardConsumer, UpstreamGap
from services.kernel.errors import RangeExpired


def content(first: int, until: int) -> bytes:
    return bytes(place % 251 for place in range(first, until))


def message(first: int, until: int) -> StreamMessage:
    return StreamMessage(first, until, content(first, until))


def heard(ranges: list[Range | None]) -> HeardTail:
    return HeardTail(ranges, content)


class Store:
    """An upstream of a certain length, in pages."""

    def __init__(self, length: int, page: int = 3, *, kept_from: int = 0) -> None:
        self.length, self.page, self.kept_from = length, page, kept_from
        self.reads: list[tuple[int, int]] = []

    async def read(self, shard: int, first: int, until: int) -> AsyncIterator[StreamMessage]:
        self.reads.append((first, until))
        if first < self.kept_from:
            raise RangeExpired("gone")
        end = min(until or self.length, self.length)
        # A page may begin before what was asked for, as an outbox's row does.
        for start in range(first - first % self.page, end, self.page):
            yield message(start, min(start + self.page, end))


def drain(
    bus: HeardTail, store: Store, limits: Limits | None = None
) -> list[tuple[StreamMessage, ...]]:
    """Takes everything in, up to the store's length."""

    async def run() -> list[tuple[StreamMessage, ...]]:
        intake, at, batches = ShardConsumer(0, bus, store, limits or Limits()), 0, []
        async with asyncio.timeout(5):
            while at < store.length:
                if batch := await intake.next(at):
                    batches.append(batch)
                    at = batch[-1].next
                await intake.ack()
        return batches

    return asyncio.run(run())


def unfolded(batches: list[tuple[StreamMessage, ...]]) -> bytes:
    """What a projection sees that skips what lies before its place."""
    at, seen = 0, b""
    for batch in batches:
        for taken in batch:
            assert taken.first <= at < taken.next
            seen += taken.payload[at - taken.first :]
            at = taken.next
    return seen


ranges = st.tuples(st.integers(0, 30), st.integers(1, 8), st.booleans()).map(
    lambda r: (r[0], min(r[0] + r[1], 31), r[2])
)


@given(st.lists(st.none() | ranges, max_size=20), st.integers(1, 7), st.integers(1, 12))
def test_everything_comes_once_and_in_order(told: list[Range | None], page: int, span: int) -> None:
    store = Store(31, page)
    batches = drain(heard([*told, None]), store, Limits(messages=4, span=span))
    assert unfolded(batches) == content(0, 31)
    assert all(len(batch) <= 4 for batch in batches)


def test_contiguous_messages_come_together_without_reading_upstream() -> None:
    store = Store(9)
    batches = drain(heard([(0, 3, False), (3, 4, False), (4, 9, False)]), store)
    assert [len(batch) for batch in batches] == [3]
    assert store.reads == []


def test_a_gap_is_read_upstream_and_the_message_is_kept() -> None:
    store = Store(12)
    batches = drain(heard([(0, 3, False), (8, 12, False)]), store)
    assert unfolded(batches) == content(0, 12)
    assert store.reads == [(3, 8)]


def test_after_a_silence_upstream_is_asked() -> None:
    store = Store(4)
    assert unfolded(drain(heard([None]), store)) == content(0, 4)
    assert store.reads == [(0, 0)]


def test_what_was_seen_is_skipped() -> None:
    store = Store(6)
    bus = heard([(0, 3, False), (0, 3, False), (1, 2, False), (2, 6, False)])
    assert unfolded(drain(bus, store)) == content(0, 6)
    assert store.reads == []


def test_a_message_too_large_for_the_bus_is_read_upstream() -> None:
    store = Store(6)
    bus = heard([(0, 3, False), (3, 5, True), (5, 6, False)])
    assert unfolded(drain(bus, store)) == content(0, 6)
    assert store.reads == [(3, 5)]


def test_only_the_newest_of_a_batch_is_acknowledged() -> None:
    bus = heard([(0, 3, False), (3, 6, False)])
    drain(bus, Store(6))
    assert bus.acked == ["reply 6"]


def test_a_message_that_upstream_knows_nothing_of_is_dropped() -> None:
    store = Store(6)
    # [40, 50) is of another life of the store: nothing leads up to it.
    bus = heard([(0, 6, False), (40, 50, False), (40, 50, False), None])

    async def run() -> list[StreamMessage]:
        intake = ShardConsumer(0, bus, store, Limits())
        taken = list(await intake.next(0))
        store.length = 8
        while taken[-1].next < 8:
            taken += await intake.next(6)
        return taken

    assert unfolded([tuple(asyncio.run(run()))]) == content(0, 8)


def test_limits_bound_a_batch_but_for_its_first_message() -> None:
    bus = heard([(0, 10, False), (10, 12, False), (12, 14, False), (14, 20, False)])
    batches = drain(bus, Store(20), Limits(messages=10, span=5))
    assert [(batch[0].first, batch[-1].next) for batch in batches] == [(0, 10), (10, 14), (14, 20)]
    bus = heard([(0, 3, False), (3, 6, False)])
    assert len(drain(bus, Store(6), Limits(size=4))) == 2


def test_what_is_no_longer_kept_is_told() -> None:
    with pytest.raises(RangeExpired):
        drain(heard([None]), Store(6, kept_from=3))


def test_an_upstream_with_a_hole_is_refused() -> None:
    class Holed(Store):
        async def read(self, shard: int, first: int, until: int) -> AsyncIterator[StreamMessage]:
            yield message(first + 1, first + 2)

    with pytest.raises(UpstreamGap):
        drain(heard([None]), Holed(6))


async def test_next_with_no_patience_returns_without_reading_upstream() -> None:
    store = Store(6)
    consumer = ShardConsumer(0, heard([(0, 3, False), None]), store, Limits())
    assert [m.next for m in await consumer.next(0, 0.0)] == [3]
    assert await consumer.next(3, 0.0) == ()
    assert store.reads == []


async def test_next_after_an_interrupt_returns_without_reading_upstream() -> None:
    store = Store(6)
    consumer = ShardConsumer(0, heard([None, None]), store, Limits())
    consumer.interrupt()
    assert await consumer.next(0) == ()
    assert store.reads == []
    assert unfolded([await consumer.next(0)]) == content(0, 6)
    assert await consumer.next(6) == ()


async def test_interrupt_ends_a_wait_of_next() -> None:
    class Silent(HeardTail):
        def __init__(self) -> None:
            super().__init__([], content)
            self.waiting, self.interrupted = asyncio.Event(), asyncio.Event()

        async def wait(self, timeout: float) -> None:
            self.waiting.set()
            await self.interrupted.wait()

        def interrupt(self) -> None:
            self.interrupted.set()

    bus, store = Silent(), Store(6)
    consumer = ShardConsumer(0, bus, store, Limits())
    waiting = asyncio.create_task(consumer.next(0))
    await bus.waiting.wait()
    consumer.interrupt()
    assert await waiting == ()
    assert store.reads == []


async def test_no_patience_for_longer_than_the_silence_reads_upstream() -> None:
    """Backfills that never wait for a message do not hide a gap."""
    store = Store(6)
    consumer = ShardConsumer(0, heard([None]), store, Limits(), gap_check_s=0.0)
    assert unfolded([await consumer.next(0, 0.0)]) == content(0, 6)
