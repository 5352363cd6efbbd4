"""Tests that the work for a request ends when its caller leaves."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from services.console.gateway.requests import until_disconnect


class Caller:
    """A caller that leaves when the event is set."""

    def __init__(self) -> None:
        self.leaving = asyncio.Event()
        #: Whether something waits for the caller to leave.
        self.is_watched = False

    async def receive(self) -> Message:
        self.is_watched = True
        try:
            await self.leaving.wait()
        finally:
            self.is_watched = False
        return {"type": "http.disconnect"}


class Work:
    """Work that goes on until it is cancelled."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.is_cancelled = False

    async def run(self) -> None:
        self.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise


async def test_result_of_work_is_returned_and_the_caller_is_not_watched_any_more() -> None:
    caller = Caller()

    async def work() -> str:
        await asyncio.sleep(0)
        assert caller.is_watched
        return "done"

    assert await until_disconnect(caller.receive, work()) == "done"
    await asyncio.sleep(0)
    assert not caller.is_watched


async def test_work_is_cancelled_when_the_caller_leaves_and_its_task_goes_on() -> None:
    caller, work = Caller(), Work()

    async def serve() -> str:
        with pytest.raises(ClientDisconnect):
            await until_disconnect(caller.receive, work.run())
        await asyncio.sleep(0)  # a task that is still being cancelled would end here
        return "goes on"

    serving = asyncio.create_task(serve())
    await work.began.wait()
    caller.leaving.set()
    assert await serving == "goes on"
    assert work.is_cancelled
    assert serving.cancelling() == 0


async def test_cancellation_from_outside_is_passed_on() -> None:
    caller, work = Caller(), Work()
    serving = asyncio.create_task(until_disconnect(caller.receive, work.run()))
    await work.began.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    await asyncio.sleep(0)
    assert work.is_cancelled
    assert not caller.is_watched


async def test_error_of_work_is_raised() -> None:
    async def work() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await until_disconnect(Caller().receive, work())
