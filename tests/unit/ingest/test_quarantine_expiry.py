"""Tests that an expiry that fails is logged as a warning with its cause, and tried again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from service_fixtures import HANG_S
from structlog.testing import capture_logs

from services.ingest.commands import limits


@pytest.mark.parametrize("error", [OSError(28, "No space left"), RuntimeError("mistake")])
async def test_expiry_that_fails_is_logged_and_repeated(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    rounds: list[float] = []
    ended = asyncio.Event()

    async def fail(_log: Any, _quarantine: Any, *, days: float) -> int:
        rounds.append(days)
        if len(rounds) == 3:
            ended.set()
            return 7
        raise error

    monkeypatch.setattr(limits, "delete_expired", fail)
    monkeypatch.setattr(limits, "_EXPIRE_EVERY_S", 0.0)
    unused: Any = None
    with capture_logs() as lines:
        task = asyncio.create_task(limits.expire_quarantine(unused, unused, days=30))
        await asyncio.wait_for(ended.wait(), HANG_S)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    postponed = [line for line in lines if line["event"] == "expiry_postponed"]
    assert [(line["log_level"], line["exc_info"]) for line in postponed[:2]] == [
        ("warning", error),
        ("warning", error),
    ]
    assert rounds[:3] == [30, 30, 30]
