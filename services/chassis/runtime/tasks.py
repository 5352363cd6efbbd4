"""Bounds the life of tasks, by scopes and by the deadline of the call that they serve."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any, TypeVar

T = TypeVar("T")
_ENDS_AT: ContextVar[float | None] = ContextVar("ends_at", default=None)
_REPEAT_CANCEL_S = 0.2


@asynccontextmanager
async def task_scope(work: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    """Run `work` beside the body of the scope, and wait for it at the end of the body.

    If `work` fails, the body is cancelled and the error raised here; if the body fails, `work` is
    cancelled. A single error is raised itself, not in a group.
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

    If one of them fails, the body and the others are cancelled and its error is raised.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


def raise_if_cancelled() -> None:
    """Raise CancelledError if the current task is being cancelled.

    Some libraries swallow a cancellation. Do not call it in a task that has opened a task group and
    continues after its failure: in Python 3.11 such a task looks cancelled from then on
    (python/cpython#116720).
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def cancel_and_wait(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end; cancel it again while it swallows the cancellation.

    The error of the task is not raised.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_REPEAT_CANCEL_S)
    if not task.cancelled():
        task.exception()


def deadline() -> float | None:
    """Return the seconds left for the current call, never below 0; None = no deadline."""
    ends_at = _ENDS_AT.get()
    return None if ends_at is None else max(0.0, ends_at - monotonic())


def clip_to_deadline(seconds: float) -> float:
    """Return `seconds`, or the seconds left for the current call if that is less."""
    left = deadline()
    return seconds if left is None else min(seconds, left)


def start_deadline(seconds: float | None) -> None:
    """Give the current task `seconds` from now on; None = no deadline."""
    _ENDS_AT.set(None if seconds is None else monotonic() + seconds)
