"""Waiting for a token: woken by workers here, by looking where another replica holds the shard."""

from __future__ import annotations

import asyncio

import pytest

from services.chassis.projection.checkpoint import Checkpoint
from services.chassis.projection.progress import ProgressTracker
from services.chassis.testing import wait_until
from services.kernel.errors import InvalidField, TokenNotReached
from services.kernel.tokens import Token

DEADLINE = 10.0


class Store:
    """Positions that are looked at."""

    def __init__(self, *offsets: int) -> None:
        self.offsets = list(offsets)
        self.looks = 0

    async def load(self) -> list[Checkpoint]:
        self.looks += 1
        return [Checkpoint(s, log_offset=offset) for s, offset in enumerate(self.offsets)]


def reached_by(store: Store, *held: int) -> ProgressTracker:
    return ProgressTracker(len(store.offsets), store.load, lambda: held)


async def test_what_is_known_is_answered_without_looking() -> None:
    store = Store(0, 0)
    reached = reached_by(store)
    reached.advance(0, 5)
    assert await reached.wait_for(Token((4,)), DEADLINE) == Token((5,))
    assert store.looks == 0


async def test_a_shard_held_here_is_not_looked_at() -> None:
    store = Store(0, 0)
    reached = reached_by(store, 0, 1)
    waiting = asyncio.create_task(reached.wait_for(Token((3, 2)), DEADLINE))
    await asyncio.sleep(0)
    reached.advance(0, 3)
    reached.advance(1, 9)
    assert await waiting == Token((3, 9))
    assert store.looks == 0


async def test_a_shard_held_elsewhere_is_looked_at_for_all_who_wait() -> None:
    store = Store(0, 0)
    reached = reached_by(store, 0)
    waiting = [asyncio.create_task(reached.wait_for(Token((0, 4)), DEADLINE)) for _ in range(50)]
    await wait_until(lambda: store.looks >= 2)
    before = store.looks
    store.offsets = [7, 4]
    assert await asyncio.gather(*waiting) == [Token((7, 4))] * 50
    assert store.looks - before <= 2


async def test_a_shard_that_moves_away_is_looked_at() -> None:
    store, held = Store(0), {0}
    reached = ProgressTracker(1, store.load, lambda: held)
    waiting = asyncio.create_task(reached.wait_for(Token((4,)), DEADLINE))
    await asyncio.sleep(0)
    held.clear()
    store.offsets = [4]
    assert await waiting == Token((4,))


async def test_a_look_that_hangs_holds_up_nobody_whom_a_worker_tells() -> None:
    held: set[int] = set()
    looking = asyncio.Event()

    async def hang() -> list[Checkpoint]:
        looking.set()
        await asyncio.Event().wait()
        raise AssertionError("nothing wakes it")

    reached = ProgressTracker(1, hang, lambda: held)
    waiting = asyncio.create_task(reached.wait_for(Token((4,)), DEADLINE))
    await looking.wait()
    held.add(0)
    reached.advance(0, 4)
    assert await waiting == Token((4,))


async def test_a_busy_shard_here_keeps_no_other_from_being_looked_at() -> None:
    store, turns = Store(0, 4), 50

    async def load() -> list[Checkpoint]:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await store.load()

    reached = ProgressTracker(2, load, lambda: {0})
    waiting = asyncio.create_task(reached.wait_for(Token((0, 4)), DEADLINE))
    told = 0
    while not waiting.done():
        told += 1
        reached.advance(0, told)
        await asyncio.sleep(0)
    assert (await waiting).includes(Token((0, 4)))
    assert store.looks == 1


async def test_what_is_not_reached_in_time_is_told_with_both_tokens() -> None:
    reached = reached_by(Store(3))
    with pytest.raises(TokenNotReached) as told:
        await reached.wait_for(Token((9,)), 0.0)
    assert told.value.metadata["required"] == "9"
    with pytest.raises(InvalidField):
        await reached.wait_for(Token((0, 0, 1)), DEADLINE)
