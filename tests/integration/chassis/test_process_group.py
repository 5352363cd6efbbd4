"""A service in several processes: one port, restarts, drains, and errors that say what is wrong."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from metrics_page import parse_metrics
from service_fixtures import wait_until

from services.chassis.runtime import run as runtime
from services.chassis.runtime.shared_ports import CAN_SPREAD, reserve
from services.devstack.process import is_alive

pytestmark = pytest.mark.skipif(not CAN_SPREAD, reason="only Linux spreads connections")

SERVICE = """
import asyncio, os
from contextlib import AsyncExitStack, asynccontextmanager
from typing import ClassVar
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from services.chassis.runtime.http_server import HttpServer
from services.chassis.runtime.run import Endpoints, run
from services.chassis.runtime.settings import ServiceSettings
from services.chassis.runtime.telemetry import Metrics, OperationsServer

class Settings(ServiceSettings):
    service: ClassVar[str] = "sample"
    http_port: int = 0
    processes: int = 2
    behaviour: str = "good"

async def pid(request):
    return PlainTextResponse(str(os.getpid()))

async def slow(request):
    async def parts():
        yield f"{os.getpid()} "
        while not os.path.exists(request.query_params["until"]):
            await asyncio.sleep(0.01)
        yield "whole"
    return StreamingResponse(parts())

@asynccontextmanager
async def serve(settings):
    if settings.behaviour == "no start":
        raise ConnectionRefusedError("PostgreSQL is away")
    routes = [Route("/pid", pid), Route("/slow", slow)]
    http = HttpServer(routes, host=settings.host, port=settings.http_port)
    metrics = Metrics("sample")
    metrics.facts_folded.labels("0").inc()
    operations = OperationsServer(metrics, host=settings.host, port=0)
    async with http.serving(), operations.serving():
        yield Endpoints(http_port=http.port)

run(Settings, "__main__", processes=lambda settings: settings.processes)
"""
ENVIRONMENT = {
    "ONEFOLD_POSTGRES_DSN": "postgresql://u:p@localhost/x",
    "ONEFOLD_NATS_URL": "nats://u:p@localhost",
    "ONEFOLD_INTERNAL_KEY": "secret-of-services",
    "ONEFOLD_BUS_KEY": "the secret of the bus, of the services",
}


class Group:
    """A group of processes under test."""

    def __init__(self, parent: asyncio.subprocess.Process, folder: Path) -> None:
        self.parent = parent
        self._file = runtime.endpoints_file(folder, "sample")
        self._log_file = folder / "log"

    async def started(self) -> dict[str, Any]:
        """Wait until both processes serve; return the ports."""
        await wait_until(lambda: self.lines("process_serves") >= 2)
        await wait_until(self._file.exists)
        found: dict[str, Any] = json.loads(self._file.read_text())
        return found

    def lines(self, event: str) -> int:
        """Return how many lines of an event are logged."""
        return self.log().count(f'"event": "{event}"')

    def log(self) -> str:
        return self._log_file.read_text()

    def children(self) -> list[int]:
        """Return the processes that the parent has started."""
        pid = self.parent.pid
        return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    async def ended(self) -> int:
        return await asyncio.wait_for(self.parent.wait(), 60)


@asynccontextmanager
async def group(folder: Path, **settings: str) -> AsyncIterator[Group]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ONEFOLD_")}
    with (folder / "log").open("wb") as log:
        parent = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SERVICE),
            env={**inherited, **ENVIRONMENT, "ONEFOLD_DATA_DIR": str(folder), **settings},
            stderr=log,
        )
    try:
        yield Group(parent, folder)
    finally:
        if parent.returncode is None:
            parent.kill()
            await parent.wait()


async def get(url: str) -> str:
    """Return what a URL responds with, over a connection of its own."""
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        return await response.text()


async def pids(port: int, count: int = 30) -> Counter[int]:
    """Return which processes serve so many new connections."""
    urls = [f"http://127.0.0.1:{port}/pid"] * count
    return Counter(map(int, await asyncio.gather(*map(get, urls))))


async def test_both_processes_serve_one_port_and_their_pages_are_one(tmp_path: Path) -> None:
    async with group(tmp_path) as running:
        ports = await running.started()
        assert set(await pids(ports["http_port"])) == set(running.children())
        operations = f"http://127.0.0.1:{ports['internal_http_port']}"
        ready = json.loads(await get(f"{operations}/readyz"))
        assert ready == {"service": "sample", "ready": True, "checks": {}, "processes": 2}
        families = parse_metrics(await get(f"{operations}/metrics"))
        folded = families["onefold_sample_facts_folded"].samples
        assert {sample.labels["process"] for sample in folded} == {"1", "2"}
        assert [s.value for s in families["onefold_sample_processes"].samples] == [2.0]


async def test_process_that_dies_is_restarted_while_the_other_one_serves(tmp_path: Path) -> None:
    async with group(tmp_path) as running:
        port = (await running.started())["http_port"]
        killed, other = running.children()
        os.kill(killed, signal.SIGKILL)
        await wait_until(lambda: not is_alive(killed))
        assert set(await pids(port)) == {other}
        await wait_until(lambda: running.lines("process_serves") == 3)
        assert running.lines("process_died") == 1
        found = await wait_until(lambda: _both(pids(port)))
        assert other in found
        assert killed not in found


async def _both(found: Any) -> Counter[int] | None:
    counted: Counter[int] = await found
    return counted if len(counted) == 2 else None


async def test_processes_end_with_their_parent_and_give_the_port_back(tmp_path: Path) -> None:
    async with group(tmp_path) as running:
        port = (await running.started())["http_port"]
        children = running.children()
        running.parent.kill()
        await running.ended()
        await wait_until(lambda: not any(map(is_alive, children)))
        reserve("127.0.0.1", port).close()


async def test_requests_in_flight_are_answered_after_a_signal(tmp_path: Path) -> None:
    released = tmp_path / "released"
    async with group(tmp_path) as running, AsyncExitStack() as scope:
        port = (await running.started())["http_port"]
        responses = []
        for _ in range(16):
            http = await scope.enter_async_context(aiohttp.ClientSession())
            url = f"http://127.0.0.1:{port}/slow?until={released}"
            responses.append(await scope.enter_async_context(http.get(url)))
        began = {int(await response.content.readuntil(b" ")) for response in responses}
        assert len(began) == 2
        running.parent.send_signal(signal.SIGTERM)
        await wait_until(lambda: running.lines("service_stopping") == 3)
        released.touch()
        assert [await response.text() for response in responses] == ["whole"] * 16
        assert await running.ended() == runtime.STOPPED
        assert not any(map(is_alive, began))


async def test_port_in_use_is_named_and_nothing_runs(tmp_path: Path) -> None:
    with reserve("127.0.0.1", 0) as held:
        held.listen()
        port = held.getsockname()[1]
        async with group(tmp_path, ONEFOLD_SAMPLE_HTTP_PORT=str(port)) as running:
            assert await running.ended() == runtime.FAILED
            assert f"port {port}" in running.log()
            assert "stop the program that has the port, or set another one" in running.log()
            assert running.lines("process_serves") == 0


async def test_group_whose_first_process_cannot_start_fails(tmp_path: Path) -> None:
    async with group(tmp_path, ONEFOLD_SAMPLE_BEHAVIOUR="no start") as running:
        assert await running.ended() == runtime.FAILED
        assert "ended with code 1 while it started" in running.log()
        assert running.lines("process_serves") == 0
