"""Repeats a step of background work until the service ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from services.chassis.runtime.backoff import Backoff
from services.kernel.errors import RetryableError

log = structlog.get_logger(__name__)


async def repeat(work: str, step: Callable[[], Awaitable[object]], backoff: Backoff) -> None:
    """Repeat a step until cancelled. Errors are logged with the name of the work, and retried.

    A step that has nothing to do waits by itself.
    """
    while True:
        try:
            await step()
            backoff.reset()
        except RetryableError as error:
            log.warning("work_delayed", work=work, reason=error.reason)
            await asyncio.sleep(backoff.next_s())
        except Exception as error:
            log.error("work_failed", work=work, exc_info=error)
            await asyncio.sleep(backoff.next_s())


async def wait_at_most(event: asyncio.Event, seconds: float) -> None:
    """Wait until an event is set, but no longer than some seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
