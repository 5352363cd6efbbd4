"""Waiting for a token: workers here wake the caller, the store shows the other replicas' shards."""

from __future__ import annotations

import asyncio

import pytest
from service_fixtures import HANG_S, wait_until

from services.chassis.projection.checkpoint import Checkpoint
from services.chassis.projection.progress import ProgressTracker
from services.kernel.errors import InvalidField, StoreUnavailable, TokenNotReached
from services.kernel.tokens import Token

DEADLINE = HANG_S


class FakeStore:
    """Checkpoints, and how often they were loaded."""

    def __init__(self, *offsets: int) -> None:
        self.offsets = list(offsets)
        self.loads = 0

    async def load(self) -> list[Checkpoint]:
        self.loads += 1
        return [Checkpoint(s, log_offset=offset) for s, offset in enumerate(self.offsets)]


def tracker_of(store: FakeStore, *leased: int) -> ProgressTracker:
    return ProgressTracker(len(store.offsets), store.load, lambda: leased)


async def test_token_reached_before_is_returned_without_a_load() -> None:
    store = FakeStore(0, 0)
    tracker = tracker_of(store)
    tracker.advance(0, 5)
    assert await tracker.wait_for(Token((4,)), DEADLINE) == Token((5,))
    assert store.loads == 0


async def test_shard_leased_here_is_not_loaded() -> None:
    store = FakeStore(0, 0)
    tracker = tracker_of(store, 0, 1)
    waiting = asyncio.create_task(tracker.wait_for(Token((3, 2)), DEADLINE))
    await asyncio.sleep(0)
    tracker.advance(0, 3)
    tracker.advance(1, 9)
    assert await waiting == Token((3, 9))
    assert store.loads == 0


async def test_shard_of_another_replica_is_loaded_once_for_all_callers() -> None:
    store = FakeStore(0, 0)
    tracker = tracker_of(store, 0)
    waiting = [asyncio.create_task(tracker.wait_for(Token((0, 4)), DEADLINE)) for _ in range(50)]
    await wait_until(lambda: store.loads >= 2)
    before = store.loads
    store.offsets = [7, 4]
    assert await asyncio.gather(*waiting) == [Token((7, 4))] * 50
    assert store.loads - before <= 2


async def test_shard_that_moves_to_another_replica_is_loaded() -> None:
    store, leased = FakeStore(0), {0}
    tracker = ProgressTracker(1, store.load, lambda: leased)
    waiting = asyncio.create_task(tracker.wait_for(Token((4,)), DEADLINE))
    await asyncio.sleep(0)
    leased.clear()
    store.offsets = [4]
    assert await waiting == Token((4,))


async def test_load_that_hangs_does_not_delay_callers_that_a_worker_wakes() -> None:
    leased: set[int] = set()
    loading = asyncio.Event()

    async def hang() -> list[Checkpoint]:
        loading.set()
        await asyncio.Event().wait()
        raise AssertionError("nothing wakes it")

    tracker = ProgressTracker(1, hang, lambda: leased)
    waiting = asyncio.create_task(tracker.wait_for(Token((4,)), DEADLINE))
    await loading.wait()
    leased.add(0)
    tracker.advance(0, 4)
    assert await waiting == Token((4,))


async def test_busy_shard_here_does_not_delay_loading_another_one() -> None:
    store, pauses = FakeStore(0, 4), 50

    async def load() -> list[Checkpoint]:
        for _ in range(pauses):
            await asyncio.sleep(0)
        return await store.load()

    tracker = ProgressTracker(2, load, lambda: {0})
    waiting = asyncio.create_task(tracker.wait_for(Token((0, 4)), DEADLINE))
    offset = 0
    while not waiting.done():
        offset += 1
        tracker.advance(0, offset)
        await asyncio.sleep(0)
    assert (await waiting).includes(Token((0, 4)))
    assert store.loads == 1


async def test_timeout_reports_the_reached_and_the_required_token() -> None:
    tracker = tracker_of(FakeStore(3))
    with pytest.raises(TokenNotReached) as raised:
        await tracker.wait_for(Token((9,)), 0.0)
    assert raised.value.metadata["required"] == "9"
    with pytest.raises(InvalidField):
        await tracker.wait_for(Token((0, 0, 1)), DEADLINE)


async def test_error_of_a_load_is_raised_to_callers_of_that_replica_alone() -> None:
    async def fail() -> list[Checkpoint]:
        raise StoreUnavailable("away")

    tracker = ProgressTracker(2, fail, lambda: {0})
    local = asyncio.create_task(tracker.wait_for(Token((4,)), DEADLINE))
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailable):
        await tracker.wait_for(Token((0, 4)), DEADLINE)
    tracker.advance(0, 4)
    assert await local == Token((4,))


async def test_no_task_is_left_when_no_caller_waits() -> None:
    others = asyncio.all_tasks()
    store = FakeStore(3, 3)
    tracker = tracker_of(store)
    assert await tracker.wait_for(Token((3, 3)), DEADLINE) == Token((3, 3))
    await wait_until(lambda: asyncio.all_tasks() <= others)
    assert store.loads == 1
