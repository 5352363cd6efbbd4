"""Work and the body of its scope end together, and errors are raised as they are."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from services.chassis.runtime.tasks import task_scope


async def _fails() -> None:
    raise KeyError("work")


async def _fail_beside(work: Coroutine[Any, Any, None]) -> None:
    async with task_scope(work):
        await asyncio.sleep(0)  # the work begins
        raise ValueError("body")


async def test_failing_work_cancels_the_body() -> None:
    with pytest.raises(KeyError, match="work"):
        async with task_scope(_fails()):
            await asyncio.Event().wait()


async def test_failing_body_cancels_the_work() -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(ValueError, match="body"):
        await _fail_beside(work())
    assert cancelled.is_set()


async def test_unfinished_work_is_awaited() -> None:
    go_on = asyncio.Event()

    async def work() -> int:
        await go_on.wait()
        return 7

    async with task_scope(work()) as task:
        go_on.set()
    assert task.result() == 7


async def test_two_errors_are_raised_as_a_group() -> None:
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise KeyError("work")

    with pytest.raises(ExceptionGroup) as caught:
        await _fail_beside(work())
    assert {type(error) for error in caught.value.exceptions} == {KeyError, ValueError}
