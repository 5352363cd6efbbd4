"""Background work goes on after errors, and its errors are logged."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.repeat import repeat, wait_at_most
from services.kernel.errors import ServiceUnavailable


async def test_step_that_fails_is_logged_and_repeated_until_cancelled() -> None:
    errors: list[BaseException | None] = [
        ServiceUnavailable("later"),
        RuntimeError("a mistake"),
        None,
        asyncio.CancelledError(),
    ]

    async def step() -> None:
        if (error := errors.pop(0)) is not None:
            raise error

    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await repeat("counts", step, Backoff(0.0, 0.0))
    assert [(line["event"], line["work"]) for line in logs] == [
        ("work_delayed", "counts"),
        ("work_failed", "counts"),
    ]
    assert errors == []


async def test_wait_ends_with_the_event_or_with_its_seconds() -> None:
    event = asyncio.Event()
    await wait_at_most(event, 0.0)
    event.set()
    await wait_at_most(event, 3_600.0)
