"""How a service lives, as a real process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.chassis.runtime import run as runtime
from services.chassis.testing import wait_until

SERVICE = """
import asyncio, sys
from contextlib import asynccontextmanager
from typing import ClassVar
from services.chassis.runtime.run import Doors, run
from services.chassis.runtime.settings import ServiceSettings

class Settings(ServiceSettings):
    service: ClassVar[str] = "sample"
    behaviour: str = "good"

async def fail():
    raise TypeError("a worker failed")

@asynccontextmanager
async def serve(settings):
    if settings.behaviour == "no start":
        raise ConnectionRefusedError("PostgreSQL is away")
    async with asyncio.TaskGroup() as workers:
        if settings.behaviour == "worker fails":
            workers.create_task(fail())
        try:
            yield Doors(grpc_port=1234, http_port=settings.http_port)
        finally:
            if settings.behaviour == "drains for ever":
                await asyncio.Event().wait()

run(Settings, serve)
"""
ENVIRONMENT = {
    "ONEFOLD_POSTGRES_DSN": "postgresql://u:secret-of-postgres@localhost/x",
    "ONEFOLD_NATS_URL": "nats://u:secret-of-nats@localhost",
    "ONEFOLD_INTERNAL_KEY": "secret-of-services",
}


class Life:
    """A service process under test, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process, data_dir: Path) -> None:
        self.process = process
        self.file = runtime.endpoints_file(data_dir, "sample")
        self.said = ""

    async def started(self) -> dict[str, Any]:
        assert self.process.stderr
        while "service_started" not in self.said:
            line = await asyncio.wait_for(self.process.stderr.readline(), 30)
            assert line, self.said
            self.said += line.decode()
        told: dict[str, Any] = json.loads(self.said.splitlines()[-1])
        return told

    async def ended(self) -> int:
        _, rest = await asyncio.wait_for(self.process.communicate(), 30)
        self.said += rest.decode()
        return await self.process.wait()

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.said.splitlines()]


@asynccontextmanager
async def living(data_dir: Path, **settings: str) -> AsyncIterator[Life]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ONEFOLD_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVICE),
        env={**inherited, **ENVIRONMENT, "ONEFOLD_DATA_DIR": str(data_dir), **settings},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Life(process, data_dir)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_tells_its_doors_and_stops_on_a_signal(tmp_path: Path, number: int) -> None:
    async with living(tmp_path, ONEFOLD_SAMPLE_HTTP_PORT="80") as life:
        line = await life.started()
        doors = {"pid": life.process.pid, "grpc_port": 1234, "http_port": 80}
        assert line.items() >= {**doors, "service": "sample"}.items()
        assert json.loads(life.file.read_text()) == doors
        life.process.send_signal(number)
        assert await life.ended() == runtime.STOPPED
        assert life.events() == ["service_started", "service_stopping", "service_stopped"]


async def test_a_service_that_cannot_start_fails(tmp_path: Path) -> None:
    async with living(tmp_path, ONEFOLD_SAMPLE_BEHAVIOUR="no start") as life:
        assert await life.ended() == runtime.FAILED
        assert life.events() == ["service_failed"]
        assert not life.file.exists()


async def test_a_worker_that_fails_ends_the_service(tmp_path: Path) -> None:
    async with living(tmp_path, ONEFOLD_SAMPLE_BEHAVIOUR="worker fails") as life:
        assert await life.ended() == runtime.FAILED
        assert life.events()[-1] == "service_failed"
        assert "a worker failed" in life.said


async def test_a_second_signal_cuts_the_draining_off(tmp_path: Path) -> None:
    async with living(tmp_path, ONEFOLD_SAMPLE_BEHAVIOUR="drains for ever") as life:
        await life.started()
        life.process.send_signal(signal.SIGTERM)

        async def stopping() -> bool:
            assert life.process.stderr
            life.said += (await life.process.stderr.readline()).decode()
            return "service_stopping" in life.said

        await wait_until(stopping)
        life.process.send_signal(signal.SIGTERM)
        assert await life.ended() == runtime.FAILED
        assert life.events()[-1] == "service_cut_off"


async def test_wrong_settings_are_told_without_their_values(tmp_path: Path) -> None:
    wrong = {"ONEFOLD_SHARDS": "many", "ONEFOLD_INTERNAL_KEY": "secret"}
    async with living(tmp_path, **wrong) as life:
        assert await life.ended() == runtime.MISCONFIGURED
    assert "sample: the settings are wrong" in life.said
    for name in wrong:
        assert name in life.said
    for value in ("many", "secret"):
        assert value not in life.said
