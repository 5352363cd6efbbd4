"""Reads a source ahead of its consumer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

from services.chassis.runtime.tasks import cancel_and_wait

T = TypeVar("T")


async def prefetch(source: AsyncGenerator[T], size: int = 1) -> AsyncGenerator[T]:
    """Yield what a source yields, which works on the next items meanwhile; `size`: so many.

    The source runs in a task of its own, and is closed at the end. Its error is raised in turn.
    """
    items: asyncio.Queue[tuple[T] | Exception | None] = asyncio.Queue(size)

    async def read() -> None:
        try:
            async with aclosing(source) as own:
                async for item in own:
                    await items.put((item,))
        except Exception as error:
            await items.put(error)
        else:
            await items.put(None)

    reading = asyncio.create_task(read())
    try:
        while (found := await items.get()) is not None:
            if isinstance(found, Exception):
                raise found
            yield found[0]
    finally:
        await cancel_and_wait(reading)
