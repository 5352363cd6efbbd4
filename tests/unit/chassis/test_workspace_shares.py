"""Tests how many things one workspace holds at once, and what its further calls wait for."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.postgres.shares import MAX_WAITING, WorkspaceShares
from services.chassis.runtime.tasks import start_deadline
from services.kernel.errors import RateLimited


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("total", "share"), [(2, 1), (3, 1), (6, 3), (7, 3)])
async def test_workspace_holds_at_most_half_and_at_least_one(total: int, share: int) -> None:
    shares, gate, holding = WorkspaceShares(total), asyncio.Event(), 0

    async def call() -> None:
        nonlocal holding
        async with shares.hold("a"):
            holding += 1
            await gate.wait()

    calls = [asyncio.create_task(call()) for _ in range(10)]
    await turn()
    assert holding == share
    async with shares.hold("b"), AsyncExitStack() as stack:
        for _ in range(20):
            await stack.enter_async_context(shares.hold(""))
    gate.set()
    await asyncio.gather(*calls)
    assert holding == 10
    assert not shares._holders, "a workspace without calls takes no memory"


@pytest.mark.parametrize(("total", "taken"), [(6, [3, 1, 1, 1, 0]), (9, [4, 2, 1, 1, 1, 0])])
async def test_each_workspace_leaves_as_much_as_it_takes_beyond_the_first(
    total: int, taken: list[int]
) -> None:
    shares, gate = WorkspaceShares(total), asyncio.Event()
    holding: Counter[int] = Counter()

    async def call(workspace: int) -> None:
        async with shares.hold(str(workspace)):
            holding[workspace] += 1
            await gate.wait()

    calls = []
    for workspace in range(len(taken)):
        calls += [asyncio.create_task(call(workspace)) for _ in range(10)]
        await turn()
    assert [holding[workspace] for workspace in range(len(taken))] == taken
    gate.set()
    await asyncio.gather(*calls)
    assert not shares._holders


async def test_what_becomes_free_goes_to_the_workspace_that_holds_least() -> None:
    shares, order = WorkspaceShares(5), list[str]()

    async def call(workspace: str) -> None:
        async with shares.hold(workspace):
            order.append(workspace)

    async with AsyncExitStack() as held, AsyncExitStack() as last:
        for workspace in ("a", "b", "a", "c"):
            await held.enter_async_context(shares.hold(workspace))
        await last.enter_async_context(shares.hold("e"))
        calls = [asyncio.create_task(call(name)) for name in ("a", "b", "d")]
        await turn()
        assert not order
        await last.aclose()
        await turn()
        assert order == ["d"]
    await asyncio.gather(*calls)
    assert sorted(order) == ["a", "b", "d"]


@given(total=st.integers(1, 5), seed=st.integers(0, 2**32))
async def test_cancelled_calls_lose_nothing_of_the_total(total: int, seed: int) -> None:
    random, shares = Random(seed), WorkspaceShares(total)
    holding = 0

    async def call(workspace: str) -> None:
        nonlocal holding
        async with shares.hold(workspace):
            holding += 1
            assert holding <= total
            try:
                for _ in range(random.randrange(3)):
                    await asyncio.sleep(0)
            finally:
                holding -= 1

    calls: list[asyncio.Task[None]] = []
    for _ in range(60):
        calls.append(asyncio.create_task(call(random.choice("abc"))))
        if random.random() < 0.3:
            random.choice(calls).cancel()
        if random.random() < 0.5:
            await asyncio.sleep(0)
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
    assert not shares._holders
    assert shares._free == total


async def test_calls_beyond_those_that_may_wait_are_refused_with_a_hint() -> None:
    shares, gate = WorkspaceShares(2), asyncio.Event()

    async def call() -> None:
        async with shares.hold("a"):
            await gate.wait()

    calls = [asyncio.create_task(call()) for _ in range(1 + MAX_WAITING)]
    await turn()
    with pytest.raises(RateLimited, match="call again") as refused:
        async with shares.hold("a"):
            pass
    assert refused.value.retry_after > 0
    async with shares.hold("b"):
        pass
    gate.set()
    await asyncio.gather(*calls)
    async with shares.hold("a"):
        pass


async def test_call_whose_deadline_passes_while_it_waits_is_refused_and_waits_no_longer() -> None:
    shares = WorkspaceShares(2)

    async def late() -> None:
        start_deadline(0.0)
        async with shares.hold("a"):
            pass

    async with shares.hold("a"):
        with pytest.raises(RateLimited, match="share of the database"):
            await asyncio.create_task(late())
        cancelled = asyncio.create_task(late())
        cancelled.cancel()
        await asyncio.wait([cancelled])
        assert not shares._holders["a"].waiting
    assert not shares._holders
