"""A service runs as a process: it starts, drains on a signal and reports failures."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from service_fixtures import HANG_S, wait_until

from services.chassis.runtime import run as runtime

SERVICE = """
import asyncio, sys
from contextlib import asynccontextmanager
from typing import ClassVar
from services.chassis.runtime.run import Endpoints, run
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
            yield Endpoints(grpc_port=1234, internal_http_port=settings.internal_http_port)
        finally:
            if settings.behaviour == "drains for ever":
                await asyncio.Event().wait()

run(Settings, "__main__")
"""
ENVIRONMENT = {
    "ONEFOLD_POSTGRES_DSN": "postgresql://u:secret-of-postgres@localhost/x",
    "ONEFOLD_NATS_URL": "nats://u:secret-of-nats@localhost",
    "ONEFOLD_INTERNAL_KEY": "secret-of-services",
    "ONEFOLD_BUS_KEY": "the secret of the bus, of the services",
}


class ServiceProcess:
    """A service process under test and its log."""

    def __init__(self, process: asyncio.subprocess.Process, data_dir: Path) -> None:
        self.process = process
        self.file = runtime.endpoints_file(data_dir, "sample")
        self.log = ""

    async def started(self) -> dict[str, Any]:
        assert self.process.stderr
        while "service_started" not in self.log:
            line = await asyncio.wait_for(self.process.stderr.readline(), HANG_S)
            assert line, self.log
            self.log += line.decode()
        started: dict[str, Any] = json.loads(self.log.splitlines()[-1])
        return started

    async def ended(self) -> int:
        _, rest = await asyncio.wait_for(self.process.communicate(), HANG_S)
        self.log += rest.decode()
        return await self.process.wait()

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.log.splitlines()]


@asynccontextmanager
async def running(data_dir: Path, **settings: str) -> AsyncIterator[ServiceProcess]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ONEFOLD_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVICE),
        env={**inherited, **ENVIRONMENT, "ONEFOLD_DATA_DIR": str(data_dir), **settings},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield ServiceProcess(process, data_dir)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_service_writes_its_endpoints_and_stops_on_a_signal(
    tmp_path: Path, number: int
) -> None:
    async with running(tmp_path, ONEFOLD_SAMPLE_INTERNAL_HTTP_PORT="80") as service:
        line = await service.started()
        endpoints = {"pid": service.process.pid, "grpc_port": 1234, "internal_grpc_port": 0}
        endpoints |= {"internal_http_port": 80, "http_port": 0}
        assert line.items() >= {**endpoints, "service": "sample"}.items()
        assert json.loads(service.file.read_text()) == endpoints
        service.process.send_signal(number)
        assert await service.ended() == runtime.STOPPED
        assert service.events() == ["service_started", "service_stopping", "service_stopped"]


def test_service_is_imported_while_the_garbage_collector_rests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "import gc\nat_import = gc.isenabled()\ndef serve(settings): return at_import\n"
    (tmp_path / "imported_service.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    serve: Any = runtime._import_serve("imported_service")
    assert serve(None) is False
    assert gc.isenabled()


async def test_service_that_cannot_start_exits_with_failure(tmp_path: Path) -> None:
    async with running(tmp_path, ONEFOLD_SAMPLE_BEHAVIOUR="no start") as service:
        assert await service.ended() == runtime.FAILED
        assert service.events() == ["service_failed"]
        assert not service.file.exists()


async def test_failing_worker_ends_the_service(tmp_path: Path) -> None:
    async with running(tmp_path, ONEFOLD_SAMPLE_BEHAVIOUR="worker fails") as service:
        assert await service.ended() == runtime.FAILED
        assert service.events()[-1] == "service_failed"
        assert "a worker failed" in service.log


async def test_second_signal_ends_the_draining(tmp_path: Path) -> None:
    async with running(tmp_path, ONEFOLD_SAMPLE_BEHAVIOUR="drains for ever") as service:
        await service.started()
        service.process.send_signal(signal.SIGTERM)

        async def stopping() -> bool:
            assert service.process.stderr
            service.log += (await service.process.stderr.readline()).decode()
            return "service_stopping" in service.log

        await wait_until(stopping)
        service.process.send_signal(signal.SIGTERM)
        assert await service.ended() == runtime.FAILED
        assert service.events()[-1] == "service_killed"


async def test_wrong_settings_are_reported_without_their_values(tmp_path: Path) -> None:
    wrong = {"ONEFOLD_SHARDS": "many", "ONEFOLD_INTERNAL_KEY": "secret"}
    async with running(tmp_path, **wrong) as service:
        assert await service.ended() == runtime.MISCONFIGURED
    assert "sample: the settings are wrong" in service.log
    for name in wrong:
        assert name in service.log
    for value in ("many", "secret"):
        assert value not in service.log
