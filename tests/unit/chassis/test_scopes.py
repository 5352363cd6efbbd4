"""Work beside a body: neither outlives the other, and errors come out as themselves."""

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


async def test_work_that_fails_cuts_the_body_off() -> None:
    with pytest.raises(KeyError, match="work"):
        async with task_scope(_fails()):
            await asyncio.Event().wait()


async def test_a_body_that_fails_cuts_the_work_off() -> None:
    cut_off = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cut_off.set()

    with pytest.raises(ValueError, match="body"):
        await _fail_beside(work())
    assert cut_off.is_set()


async def test_work_that_is_not_done_is_awaited() -> None:
    go_on = asyncio.Event()

    async def work() -> int:
        await go_on.wait()
        return 7

    async with task_scope(work()) as task:
        go_on.set()
    assert task.result() == 7


async def test_two_errors_come_out_together() -> None:
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise KeyError("work")

    with pytest.raises(ExceptionGroup) as caught:
        await _fail_beside(work())
    assert {type(error) for error in caught.value.exceptions} == {KeyError, ValueError}
