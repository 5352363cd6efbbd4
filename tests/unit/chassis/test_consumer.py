"""Whatever the bus does, a consumer returns the whole shard, once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_fixtures import HANG_S
from toy.fake_subscription import FakeSubscription, Range

from services.chassis.messaging.stream import StreamMessage
from services.chassis.messaging.subscription import ReceivedMessage
from services.chassis.projection.consumer import Limits, ShardConsumer, UpstreamGap
from services.kernel.errors import RangeExpired, UpstreamWentBack


def content(first: int, end: int) -> bytes:
    return bytes(number % 251 for number in range(first, end))


def message(first: int, end: int) -> StreamMessage:
    return StreamMessage(first, end, content(first, end))


def bus_with(ranges: list[Range | None]) -> FakeSubscription:
    return FakeSubscription(ranges, content)


class FakeUpstream:
    """An upstream of a certain length, in pages; what lies before `begin` is deleted."""

    def __init__(self, length: int, page: int = 3, *, begin: int = 0) -> None:
        self.length, self.page, self.begin = length, page, begin
        self.reads: list[tuple[int, int]] = []

    async def read(
        self, shard: int, first: int, end: int, life: int = 0
    ) -> AsyncIterator[StreamMessage]:
        self.reads.append((first, end))
        if first < self.begin:
            raise RangeExpired("gone")
        end = min(end or self.length, self.length)
        # A page may begin before `first`, as a row of an outbox does.
        for start in range(first - first % self.page, end, self.page):
            yield message(start, min(start + self.page, end))


class BusOfOldMessages(FakeSubscription):
    """Delivers messages that were folded before, one after another, without a silence."""

    async def wait(self, timeout: float) -> ReceivedMessage | None:
        await asyncio.sleep(0)
        self._ranges.append((1, 2, False))
        return self.peek()


def test_upstream_is_read_where_the_bus_has_old_messages_alone() -> None:
    class RestoredUpstream(FakeUpstream):
        async def read(
            self, shard: int, first: int, end: int, life: int = 0
        ) -> AsyncIterator[StreamMessage]:
            if first > self.length:
                raise UpstreamWentBack("restored")
            async for each in super().read(shard, first, end):
                yield each

    async def run() -> None:
        bus = BusOfOldMessages([], content)
        consumer = ShardConsumer(0, bus, RestoredUpstream(10), Limits(), gap_check_s=0.0)
        async with asyncio.timeout(HANG_S):
            await consumer.next(20)

    with pytest.raises(UpstreamWentBack):
        asyncio.run(run())


def drain(
    bus: FakeSubscription, upstream: FakeUpstream, limits: Limits | None = None
) -> list[tuple[StreamMessage, ...]]:
    """Consume everything, up to the length of the upstream."""

    async def run() -> list[tuple[StreamMessage, ...]]:
        consumer, at, batches = ShardConsumer(0, bus, upstream, limits or Limits()), 0, []
        async with asyncio.timeout(HANG_S):
            while at < upstream.length:
                if batch := await consumer.next(at):
                    batches.append(batch)
                    at = batch[-1].next
                await consumer.ack()
        return batches

    return asyncio.run(run())


def folded_content(batches: list[tuple[StreamMessage, ...]]) -> bytes:
    """Return the messages that a projection folds if it skips those folded before."""
    at, folded = 0, b""
    for batch in batches:
        for each in batch:
            assert each.first <= at < each.next
            folded += each.payload[at - each.first :]
            at = each.next
    return folded


ranges = st.tuples(st.integers(0, 30), st.integers(1, 8), st.booleans()).map(
    lambda r: (r[0], min(r[0] + r[1], 31), r[2])
)


@given(st.lists(st.none() | ranges, max_size=20), st.integers(1, 7), st.integers(1, 12))
def test_every_message_is_returned_once_and_in_order(
    received: list[Range | None], page: int, span: int
) -> None:
    upstream = FakeUpstream(31, page)
    batches = drain(bus_with([*received, None]), upstream, Limits(messages=4, span=span))
    assert folded_content(batches) == content(0, 31)
    assert all(len(batch) <= 4 for batch in batches)


def test_contiguous_messages_are_one_batch_without_reading_upstream() -> None:
    upstream = FakeUpstream(9)
    batches = drain(bus_with([(0, 3, False), (3, 4, False), (4, 9, False)]), upstream)
    assert [len(batch) for batch in batches] == [3]
    assert upstream.reads == []


def test_gap_is_read_upstream_and_the_message_after_it_is_used() -> None:
    upstream = FakeUpstream(12)
    batches = drain(bus_with([(0, 3, False), (8, 12, False)]), upstream)
    assert folded_content(batches) == content(0, 12)
    assert upstream.reads == [(3, 8)]


def test_silence_makes_the_consumer_read_upstream() -> None:
    upstream = FakeUpstream(4)
    assert folded_content(drain(bus_with([None]), upstream)) == content(0, 4)
    assert upstream.reads == [(0, 0)]


def test_repeated_messages_are_skipped() -> None:
    upstream = FakeUpstream(6)
    bus = bus_with([(0, 3, False), (0, 3, False), (1, 2, False), (2, 6, False)])
    assert folded_content(drain(bus, upstream)) == content(0, 6)
    assert upstream.reads == []


def test_message_too_large_for_the_bus_is_read_upstream() -> None:
    upstream = FakeUpstream(6)
    bus = bus_with([(0, 3, False), (3, 5, True), (5, 6, False)])
    assert folded_content(drain(bus, upstream)) == content(0, 6)
    assert upstream.reads == [(3, 5)]


class LivingUpstream(FakeUpstream):
    """An upstream in one life, which refuses a caller of another one."""

    def __init__(self, length: int, life: int) -> None:
        super().__init__(length)
        self.life = life

    async def read(
        self, shard: int, first: int, end: int, life: int = 0
    ) -> AsyncIterator[StreamMessage]:
        if life not in (0, self.life):
            raise UpstreamWentBack("another life")
        async for each in super().read(shard, first, end):
            yield replace(each, life=self.life)


async def test_message_of_another_life_is_read_upstream_and_counted() -> None:
    upstream = LivingUpstream(9, life=2)
    bus = bus_with([(0, 3, False), (3, 6, False), (6, 9, False)])
    bus.life = 1
    consumer = ShardConsumer(0, bus, upstream, Limits())
    at = 0
    while at < 9:
        messages = await consumer.next(at, life=2)
        assert {message.life for message in messages} == {2}
        at = messages[-1].next
    assert upstream.reads == [(0, 3), (3, 6), (6, 9)]
    assert bus.other_lives == 3


async def test_message_of_an_old_life_beyond_the_end_of_upstream_is_dropped() -> None:
    upstream = LivingUpstream(3, life=2)
    bus = bus_with([(3, 6, False), None, None])
    bus.life = 1
    consumer = ShardConsumer(0, bus, upstream, Limits(), gap_check_s=0.0)
    consumer.check_upstream(0)
    assert [m.next for m in await consumer.next(0)] == [3]
    for _ in range(2):
        assert await consumer.next(3, 0.0, life=2) == ()
    assert bus.peek() is None, "it was dropped"


async def test_messages_of_the_life_that_upstream_is_in_come_from_the_bus() -> None:
    upstream = LivingUpstream(3, life=2)
    bus = bus_with([(0, 3, False), (3, 6, False)])
    bus.life = 2
    consumer = ShardConsumer(0, bus, upstream, Limits())
    consumer.check_upstream(0)
    assert [m.next for m in await consumer.next(0)] == [3]
    assert [m.next for m in await consumer.next(3, life=2)] == [6]
    assert upstream.reads == [(0, 0)]


async def test_place_in_another_life_is_an_error() -> None:
    consumer = ShardConsumer(0, bus_with([None]), LivingUpstream(9, life=2), Limits())
    consumer.check_upstream(6, 1)
    with pytest.raises(UpstreamWentBack):
        await consumer.next(6, life=1)


def test_newest_message_of_a_batch_is_acknowledged_alone() -> None:
    bus = bus_with([(0, 3, False), (3, 6, False)])
    drain(bus, FakeUpstream(6))
    assert bus.acked == ["reply 6"]


def test_message_that_upstream_does_not_contain_is_dropped() -> None:
    upstream = FakeUpstream(6)
    # [40, 50) was published by another store: nothing leads up to it.
    bus = bus_with([(0, 6, False), (40, 50, False), (40, 50, False), None])

    async def run() -> list[StreamMessage]:
        consumer = ShardConsumer(0, bus, upstream, Limits())
        messages = list(await consumer.next(0))
        upstream.length = 8
        while messages[-1].next < 8:
            messages += await consumer.next(6)
        return messages

    assert folded_content([tuple(asyncio.run(run()))]) == content(0, 8)


def test_limits_bound_a_batch_except_its_first_message() -> None:
    bus = bus_with([(0, 10, False), (10, 12, False), (12, 14, False), (14, 20, False)])
    batches = drain(bus, FakeUpstream(20), Limits(messages=10, span=5))
    assert [(batch[0].first, batch[-1].next) for batch in batches] == [(0, 10), (10, 14), (14, 20)]
    bus = bus_with([(0, 3, False), (3, 6, False)])
    assert len(drain(bus, FakeUpstream(6), Limits(size=4))) == 2


def test_deleted_range_is_an_error() -> None:
    with pytest.raises(RangeExpired):
        drain(bus_with([None]), FakeUpstream(6, begin=3))


def test_upstream_with_a_gap_is_an_error() -> None:
    class Gapped(FakeUpstream):
        async def read(
            self, shard: int, first: int, end: int, life: int = 0
        ) -> AsyncIterator[StreamMessage]:
            yield message(first + 1, first + 2)

    with pytest.raises(UpstreamGap):
        drain(bus_with([None]), Gapped(6))


async def test_next_without_patience_returns_without_reading_upstream() -> None:
    upstream = FakeUpstream(6)
    consumer = ShardConsumer(0, bus_with([(0, 3, False), None]), upstream, Limits())
    assert [m.next for m in await consumer.next(0, 0.0)] == [3]
    assert await consumer.next(3, 0.0) == ()
    assert upstream.reads == []


async def test_next_after_an_interrupt_returns_without_reading_upstream() -> None:
    upstream = FakeUpstream(6)
    consumer = ShardConsumer(0, bus_with([None, None]), upstream, Limits())
    consumer.interrupt()
    assert await consumer.next(0) == ()
    assert upstream.reads == []
    assert folded_content([await consumer.next(0)]) == content(0, 6)
    assert await consumer.next(6) == ()


async def test_interrupt_ends_a_wait_of_next() -> None:
    class Silent(FakeSubscription):
        def __init__(self) -> None:
            super().__init__([], content)
            self.waiting, self.interrupted = asyncio.Event(), asyncio.Event()

        async def wait(self, timeout: float) -> None:
            self.waiting.set()
            await self.interrupted.wait()

        def interrupt(self) -> None:
            self.interrupted.set()

    bus, upstream = Silent(), FakeUpstream(6)
    consumer = ShardConsumer(0, bus, upstream, Limits())
    waiting = asyncio.create_task(consumer.next(0))
    await bus.waiting.wait()
    consumer.interrupt()
    assert await waiting == ()
    assert upstream.reads == []


async def test_next_without_patience_reads_upstream_after_the_silence() -> None:
    """Backfills that never wait for a message do not hide a gap."""
    upstream = FakeUpstream(6)
    consumer = ShardConsumer(0, bus_with([None]), upstream, Limits(), gap_check_s=0.0)
    assert folded_content([await consumer.next(0, 0.0)]) == content(0, 6)
