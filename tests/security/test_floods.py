"""All floods of strangers at once: an honest client loses nothing and hardly waits longer."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from integration.ingest.ingest_endpoints import make_call, make_event
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1 import ingest_service_pb2 as ingest_pb
from onefold.ingest.v1.admin_service_pb2_grpc import AdminServiceStub
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SOURCE, SourceDefined
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from onefold.type.v1.source_trust_pb2 import SOURCE_TRUST_PUBLIC, SOURCE_TRUST_SERVER
from security.floods import LOOPBACK, Target, pause
from service_fixtures import BUS_KEY, INDEX_KEY_TEXT, OpenNatsServer

from services.chassis.rpc.channel import open_channel
from services.devstack.ports import free_port
from services.devstack.service_process import ServiceProcess

ROOT = Path(__file__).resolve().parents[2]
#: Rounds without and with the floods take turns, so that both see the same machine.
ROUNDS, ROUND_S, PAUSE_S = 5, 1.5, 0.5
#: The honest client sends an event each so many seconds, whether or not the last one is done.
EVERY_S = 0.01
#: Low, so that the floods meet the limits within a round.
QUARANTINE_ENTRIES, CONNECTIONS, GRPC_CONNECTIONS = 500, 100, 400
#: The calls of the honest client of gRPC, each on a connection of its own.
GRPC_CALLS, GRPC_EVERY_S, GRPC_TIMEOUT_S = 50, 0.06, 20.0
#: The label of the process, beside others or alone.
_PROCESS = re.compile(r'process="\w+",|\{process="\w+"\}')
#: What the wait of the slowest hundredth may become.
MOST_TIMES_SLOWER = 5.0


@dataclass
class HonestClient:
    """A server of the company, at another address than the strangers."""

    http: aiohttp.ClientSession
    url: str
    key: str
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    sent: int = 0
    refused: list[str] = field(default_factory=list)

    async def send_for(self, seconds: float) -> list[float]:
        """Send events for a while; return how long each took, seconds."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        tasks = []
        for number in range(int(seconds / EVERY_S)):
            await pause(begin + number * EVERY_S - loop.time())
            tasks.append(asyncio.create_task(self._send()))
        return await asyncio.gather(*tasks)

    async def _send(self) -> float:
        self.sent += 1
        began = perf_counter()
        headers = {"Authorization": f"Bearer {self.key}"}
        call = make_call(event=self.mark)
        async with self.http.post(self.url, json=call, headers=headers) as response:
            body = await response.text()
        if response.status != 200:
            self.refused.append(f"{response.status} {body}")
        return perf_counter() - began


@dataclass
class Service:
    """Ingest in processes of its own, with the key of a public source and of an honest one."""

    target: Target
    internal_http: str
    dsn: str
    honest_key: str

    async def metrics(self, http: aiohttp.ClientSession) -> dict[str, float]:
        """Return the metrics by their names with labels, those of all processes together."""
        async with http.get(f"{self.internal_http}/metrics") as response:
            lines = (await response.text()).splitlines()
        sums: Counter[str] = Counter()
        for line in lines:
            name, _, value = _PROCESS.sub("", line).rpartition(" ")
            if not name.startswith("#"):
                sums[name] += float(value)  # type: ignore[assignment]  # of floats
        return dict(sums)


@pytest_asyncio.fixture(loop_scope="session")
async def service(
    database: str, nats_server: OpenNatsServer, tmp_path: Path
) -> AsyncIterator[Service]:
    ports = {
        name: free_port()
        for name in ("http_port", "grpc_port", "internal_http_port", "internal_grpc_port")
    }
    settings: dict[str, Any] = {
        "postgres_dsn": database,
        "nats_url": nats_server.url,
        "internal_key": secrets.token_urlsafe(32),
        "bus_key": BUS_KEY,
        "index_key": INDEX_KEY_TEXT,
        "activation_url": "127.0.0.1:1",
        "data_dir": tmp_path,
        "processes": 2,
        "quarantine_entries": QUARANTINE_ENTRIES,
        "http_connections_per_address": CONNECTIONS,
        "max_grpc_connections": GRPC_CONNECTIONS,
        **ports,
    }
    env = {f"ONEFOLD_INGEST_{name.upper()}": str(value) for name, value in settings.items()}
    internal_http = f"http://{LOOPBACK}:{ports['internal_http_port']}"
    log = tmp_path / "ingest.log"
    process = ServiceProcess("ingest", {**os.environ, **env}, log, f"{internal_http}/readyz")
    process.start()
    try:
        async with aiohttp.ClientSession() as http:
            await process.ready(http)
        keys = await make_keys(ports["internal_grpc_port"], (tmp_path / "admin.key").read_text())
        target = Target(ports["http_port"], ports["grpc_port"], keys["browser"])
        yield Service(target, internal_http, database, keys["server"])
    finally:
        await process.stop()


async def make_keys(port: int, admin_key: str) -> Mapping[str, str]:
    """Define the sources of the test; return their keys."""
    keys = {}
    async with open_channel(f"{LOOPBACK}:{port}", admin_key.strip()) as channel:
        stub = AdminServiceStub(channel)
        for name, trust in (("browser", SOURCE_TRUST_PUBLIC), ("server", SOURCE_TRUST_SERVER)):
            source = SourceDefined(source_id=name, channel="web", trust=trust)
            await stub.DefineSource(admin_pb.DefineSourceRequest(source=source))
            issue = admin_pb.IssueKeyRequest(role=ROLE_SOURCE, source_id=name)
            keys[name] = (await stub.IssueKey(issue)).key
    return keys


@dataclass
class Floods:
    """The process of the floods."""

    process: asyncio.subprocess.Process

    async def command(self, line: str) -> None:
        """Start or stop the floods."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{line}\n".encode())
        assert (await self.process.stdout.readline()).decode().strip() == line


@asynccontextmanager
async def floods_of(target: Target, module: str = "security.floods") -> AsyncIterator[Floods]:
    path = os.pathsep.join(str(ROOT / part) for part in ("", "gen", "tests"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, target.encode()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        yield Floods(process)
    finally:
        process.kill()
        await process.wait()


def p99(waits: list[float]) -> float:
    return sorted(waits)[int(len(waits) * 0.99)]


async def stored(dsn: str, mark: str) -> int:
    """Return how many facts hold a text."""
    conn = await asyncpg.connect(dsn)
    try:
        count: int = await conn.fetchval(
            "SELECT count(*) FROM ingest.fact WHERE position($1 IN payload) > 0", mark.encode()
        )
    finally:
        await conn.close()
    return count


@pytest.mark.slow
async def test_honest_client_loses_nothing_and_hardly_waits_while_all_floods_run(
    service: Service,
) -> None:
    quiet: list[float] = []
    flooded: list[float] = []
    connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        floods_of(service.target) as floods,
    ):
        url = f"http://{LOOPBACK}:{service.target.http_port}/v1/track"
        client = HonestClient(http, url, service.honest_key)
        await client.send_for(ROUND_S)  # warms both up
        for _ in range(ROUNDS):
            quiet.append(p99(await client.send_for(ROUND_S)))
            await floods.command("start")
            await pause(PAUSE_S)
            flooded.append(p99(await client.send_for(ROUND_S)))
            await floods.command("stop")
            await pause(PAUSE_S)
        counts = await service.metrics(http)

    assert not client.refused
    assert await stored(service.dsn, client.mark) == client.sent
    times_slower = median(flooded) / median(quiet)
    assert times_slower < MOST_TIMES_SLOWER, (quiet, flooded)
    # The floods have met their limits.
    for reason in ("HEAD_TOO_LARGE", "CONNECTIONS"):
        assert counts[f'onefold_ingest_http_cut_offs_total{{reason="{reason}"}}'] > 0
    assert counts["onefold_ingest_quarantine_refused_total"] > 0


async def send_over_grpc(service: Service, mark: str) -> None:
    """Send one event on a new connection. Raises OnefoldError."""
    event = ingest_pb.IngestEventsRequest(events=[make_event(name=mark)])
    url = f"{LOOPBACK}:{service.target.grpc_port}"
    async with open_channel(url, service.honest_key, timeout_s=GRPC_TIMEOUT_S) as channel:
        response = await IngestServiceStub(channel).IngestEvents(event)
    assert response.accepted == 1


async def test_clients_of_grpc_connect_and_call_while_strangers_hold_connections_and_flood(
    service: Service,
) -> None:
    mark = uuid.uuid4().hex
    await send_over_grpc(service, mark)
    async with floods_of(service.target, "security.grpc_floods") as floods:
        await floods.command("start")
        calls = []
        for _ in range(GRPC_CALLS):
            calls.append(asyncio.create_task(send_over_grpc(service, mark)))
            await pause(GRPC_EVERY_S)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        await floods.command("stop")
    async with aiohttp.ClientSession() as http:
        counts = await service.metrics(http)

    assert [each for each in outcomes if each is not None] == []
    assert await stored(service.dsn, mark) == GRPC_CALLS + 1
    # The silent connections are too many, and the calls are refused too often.
    for reason in ("ADDRESS", "REFUSALS"):
        assert counts[f'onefold_ingest_grpc_cut_offs_total{{reason="{reason}"}}'] > 0
