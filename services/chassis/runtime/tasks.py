"""What has a life has a scope."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")
_INSIST_EVERY_S = 0.2


@asynccontextmanager
async def task_scope(work: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    """Run `work` beside the body of the scope.

    Where `work` fails, the body is cancelled and the error raised here; where the body fails,
    `work` is cancelled. One error comes out as itself, and not in a group. `work` that is not done
    at the end of the body is awaited.
    """
    try:
        async with asyncio.TaskGroup() as group:
            yield group.create_task(work)
    except BaseExceptionGroup as errors:
        raise_if_cancelled()
        if len(errors.exceptions) == 1:
            raise errors.exceptions[0] from None
        raise


@asynccontextmanager
async def background(*works: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
    """Run `works` beside the body of the scope, and cancel them at its end.

    Where one of them fails, the body and the others are cancelled and its error is raised.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


def raise_if_cancelled() -> None:
    """Raises CancelledError where the present task is to end, though it was not told so.

    Some libraries swallow a cancellation. Not for a task that has opened a task group and goes on
    after its failure: in Python 3.11 it looks as if cancelled from then on (python/cpython#116720).
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def cancel_and_wait(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end; again and again where it swallows the cancellation.

    What it failed with is not raised.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_INSIST_EVERY_S)
    if not task.cancelled():
        task.exception()
