"""Tests how many things one workspace holds at once, and what its further calls wait for."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from services.chassis.postgres.shares import MAX_WAITING, WorkspaceShares
from services.chassis.runtime.tasks import start_deadline
from services.kernel.errors import RateLimited


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("total", "share"), [(1, 1), (2, 1), (3, 1), (6, 3), (7, 3)])
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
        assert shares._holders["a"].calls == 1
    assert not shares._holders
