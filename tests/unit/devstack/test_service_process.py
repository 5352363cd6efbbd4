"""Tests that a service is restarted whatever its restart raises."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from service_fixtures import HANG_S

from services.chassis.runtime.tasks import cancel_and_wait
from services.devstack import service_process
from services.devstack.service_process import ServiceProcess


async def test_watch_survives_a_full_disk_and_restarts_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_process, "MAX_PAUSE_S", 0.01)
    started: list[subprocess.Popen[bytes]] = []
    failures = iter([OSError(28, "No space left on device"), ValueError("something else")])
    is_up = asyncio.Event()

    def spawn(*_: object, **__: object) -> subprocess.Popen[bytes]:
        if started and (error := next(failures, None)) is not None:
            raise error
        sleep = "0" if not started else "60"
        started.append(
            subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({sleep})"])
        )
        if len(started) == 2:
            is_up.set()
        return started[-1]

    monkeypatch.setattr(service_process, "spawn", spawn)
    process = ServiceProcess("ingest", {}, tmp_path / "ingest.log", "http://localhost")
    process.start()
    watch = asyncio.create_task(process.watch())
    try:
        async with asyncio.timeout(HANG_S):
            await is_up.wait()
    finally:
        await cancel_and_wait(watch)
        await process.stop()
