"""Tests that a source is read ahead of its consumer, and closed with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from services.chassis.runtime.prefetch import prefetch


async def test_prefetch_yields_the_items_in_order_and_reads_ahead() -> None:
    begun: list[int] = []

    async def source() -> AsyncGenerator[int]:
        for number in range(5):
            begun.append(number)
            yield number

    found = []
    async with aclosing(prefetch(source())) as items:
        async for item in items:
            for _ in range(5):
                await asyncio.sleep(0)
            found.append((item, len(begun)))
    assert found == [(0, 3), (1, 4), (2, 5), (3, 5), (4, 5)]


async def test_prefetch_raises_the_error_of_the_source_after_its_items() -> None:
    async def source() -> AsyncGenerator[int]:
        yield 1
        raise LookupError("gone")

    async with aclosing(prefetch(source())) as items:
        assert await anext(items) == 1
        with pytest.raises(LookupError, match="gone"):
            await anext(items)


async def test_prefetch_that_is_closed_early_closes_the_source() -> None:
    closed = False

    async def source() -> AsyncGenerator[int]:
        nonlocal closed
        try:
            while True:
                yield 1
        finally:
            closed = True

    async with aclosing(prefetch(source())) as items:
        assert await anext(items) == 1
    assert closed
