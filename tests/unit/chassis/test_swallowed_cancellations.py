"""Tasks end although a library swallows the cancellation."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from services.chassis.messaging.jetstream import await_cancellable
from services.chassis.runtime.tasks import cancel_and_wait


async def swallow() -> int:
    """As nats-py does it while it flushes."""
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return 1


async def test_a_swallowed_cancellation_is_heeded() -> None:
    went_on = False

    async def work() -> None:
        nonlocal went_on
        await await_cancellable(swallow())
        went_on = True

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert not went_on


async def test_a_deadline_still_is_one() -> None:
    try:
        async with asyncio.timeout(0.01):
            await await_cancellable(swallow())
    except TimeoutError:
        return
    raise AssertionError("the deadline was lost")


async def test_a_call_that_is_not_cancelled_gives_its_answer() -> None:
    async def answer() -> int:
        return 7

    assert await await_cancellable(answer()) == 7


async def test_a_task_is_ended_as_often_as_it_takes() -> None:
    async def stubborn() -> None:
        await swallow()
        await swallow()
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await cancel_and_wait(task)
    assert task.cancelled()


async def test_what_an_ended_task_failed_with_is_not_raised() -> None:
    async def failing() -> None:
        raise ValueError

    task = asyncio.create_task(failing())
    await asyncio.wait({task})
    await cancel_and_wait(task)
