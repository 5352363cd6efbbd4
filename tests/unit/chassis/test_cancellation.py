"""Tasks end although a library swallows the cancellation."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from service_fixtures import HANG_S

from services.chassis.messaging.jetstream import await_cancellable
from services.chassis.runtime.tasks import cancel_and_wait


async def swallow() -> int:
    """Swallow one cancellation, as nats-py does while it flushes."""
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return 1


async def test_swallowed_cancellation_ends_the_task() -> None:
    continued = False

    async def work() -> None:
        nonlocal continued
        await await_cancellable(swallow())
        continued = True

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert not continued


async def test_swallowed_timeout_is_still_raised() -> None:
    try:
        async with asyncio.timeout(0.01):
            await await_cancellable(swallow())
    except TimeoutError:
        return
    raise AssertionError("the deadline was lost")


async def test_call_that_is_not_cancelled_returns_its_result() -> None:
    async def call() -> int:
        return 7

    assert await await_cancellable(call()) == 7


async def test_task_that_swallows_cancellations_is_cancelled_until_it_ends() -> None:
    async def stubborn() -> None:
        await swallow()
        await swallow()
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(HANG_S):
        await cancel_and_wait(task)
    assert task.cancelled()


async def test_error_of_a_cancelled_task_is_not_raised() -> None:
    async def failing() -> None:
        raise ValueError

    task = asyncio.create_task(failing())
    await asyncio.wait({task})
    await cancel_and_wait(task)
