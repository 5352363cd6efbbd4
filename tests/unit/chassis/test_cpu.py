"""Tests that CPU time is measured without waits, and that costly items are reported."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
import structlog
from prometheus_client import CollectorRegistry, Counter

from services.chassis.runtime.cpu import CpuTimed, ItemWatch

BUDGET_S = 0.02


def burn(seconds: float) -> None:
    """Use the CPU for this long, whatever else the machine does."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.fixture
def counter() -> Counter:
    return Counter("exceeded", "", ["work"], registry=CollectorRegistry())


def count(counter: Counter, work: str = "event") -> float:
    return counter.labels(work)._value.get()  # type: ignore[no-any-return]


def watched(watch: ItemWatch, costs: list[float], wait: bool = False) -> Iterator[int]:
    for item in watch.each(range(len(costs)), "event", lambda item: {"offset": item}):
        (time.sleep if wait else burn)(costs[item])
        yield item


def test_costly_item_is_counted_and_logged_with_its_place(counter: Counter) -> None:
    watch = ItemWatch(counter, budget_s=BUDGET_S)
    with structlog.testing.capture_logs() as lines:
        assert list(watched(watch, [0.0, 3 * BUDGET_S, 0.0, 2 * BUDGET_S])) == [0, 1, 2, 3]
    assert count(counter) == 2
    (line,) = lines
    assert (line["event"], line["work"], line["offset"]) == ("cpu_budget_exceeded", "event", 1)
    assert line["cpu_s"] >= BUDGET_S


def test_last_item_is_watched(counter: Counter) -> None:
    watch = ItemWatch(counter, budget_s=BUDGET_S)
    assert list(watched(watch, [2 * BUDGET_S])) == [0]
    assert count(counter) == 1


def test_item_that_waits_is_not_counted(counter: Counter) -> None:
    watch = ItemWatch(counter, budget_s=BUDGET_S)
    assert len(list(watched(watch, [2 * BUDGET_S], wait=True))) == 1
    assert count(counter) == 0


def test_many_costly_items_make_one_line(counter: Counter) -> None:
    watch = ItemWatch(counter, budget_s=0.001)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            list(watched(watch, [0.002] * 20))
    assert count(counter) == 60
    assert len(lines) == 1


async def test_cpu_of_other_tasks_is_not_measured() -> None:
    ended = asyncio.Event()

    async def fold() -> str:
        await asyncio.sleep(0)
        burn(0.01)
        await ended.wait()
        return "folded"

    async def other() -> None:
        for _ in range(5):
            burn(0.02)
            await asyncio.sleep(0)
        ended.set()

    timed = CpuTimed(fold())
    neighbour = asyncio.ensure_future(other())

    async def run() -> str:
        return await timed

    assert await asyncio.ensure_future(run()) == "folded"
    await neighbour
    assert 0.01 <= timed.cpu_s < 0.1


async def test_error_of_a_measured_coroutine_is_raised() -> None:
    async def fold() -> None:
        await asyncio.sleep(0)
        raise ValueError("broken")

    timed = CpuTimed(fold())
    with pytest.raises(ValueError, match="broken"):
        await timed


async def test_cancellation_reaches_a_measured_coroutine() -> None:
    seen: list[str] = []

    async def fold() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            seen.append("left")

    async def run() -> None:
        await CpuTimed(fold())

    task = asyncio.ensure_future(run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled", "left"]


async def test_timeout_inside_of_a_measured_coroutine_ends_it() -> None:
    async def fold() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return "timed out"
        return "not timed out"

    async def run() -> str:
        return await CpuTimed(fold())

    assert await run() == "timed out"
