"""Runs ingest in processes of its own, strangers who flood it, and an honest client beside them."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import aiohttp
import asyncpg
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SOURCE, SourceDefined
from onefold.type.v1.source_trust_pb2 import SOURCE_TRUST_PUBLIC, SOURCE_TRUST_SERVER

from services.client.client import ApiEndpoints, Client
from services.devstack.folders import ROOT
from services.devstack.stack import Stack
from tests.security.floods import Target, pause

#: The honest client sends an event each so many seconds, whether or not the last one is done.
EVERY_S = 0.01
#: The address of the honest client, and the most connections that it opens.
_ADDRESS, _CONNECTIONS = "127.0.0.2", 50
#: Low, so that the floods meet the limits soon.
_SETTINGS = {
    "ONEFOLD_INGEST_PROCESSES": "2",
    "ONEFOLD_INGEST_QUARANTINE_ENTRIES": "500",
    "ONEFOLD_INGEST_HTTP_CONNECTIONS_PER_ADDRESS": "100",
    "ONEFOLD_INGEST_MAX_GRPC_CONNECTIONS": "400",
}
#: The label of the process, beside others or alone.
_PROCESS = re.compile(r'process="\w+",|\{process="\w+"\}')


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
        message_id = str(uuid.uuid4())
        call = {"event": self.mark, "userId": f"u-{message_id}", "messageId": message_id}
        async with self.http.post(self.url, json=call, headers=headers) as response:
            body = await response.text()
        if response.status != 200:
            self.refused.append(f"{response.status} {body}")
        return perf_counter() - began


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


@dataclass
class FloodedIngest:
    """Ingest with the key of a public source and of an honest one."""

    stack: Stack
    #: By name of a source.
    keys: Mapping[str, str]

    @property
    def target(self) -> Target:
        """What strangers know."""
        http_port, grpc_port = (
            int(address.rpartition(":")[2])
            for address in (self.stack.events_url, self.stack.public_address("ingest"))
        )
        return Target(http_port, grpc_port, self.keys["browser"])

    @asynccontextmanager
    async def honest_client(self) -> AsyncIterator[HonestClient]:
        """Open the client that has done nothing wrong."""
        connector = aiohttp.TCPConnector(local_addr=(_ADDRESS, 0), limit=_CONNECTIONS)
        async with aiohttp.ClientSession(connector=connector) as http:
            yield HonestClient(http, f"{self.stack.events_url}/v1/track", self.keys["server"])

    @asynccontextmanager
    async def floods(self, module: str = "tests.security.floods") -> AsyncIterator[Floods]:
        """Run the process of a module's floods, which waits for commands."""
        path = os.pathsep.join(str(ROOT / part) for part in ("", "gen"))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, self.target.encode()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        try:
            yield Floods(process)
        finally:
            process.kill()
            await process.wait()

    async def metrics(self) -> dict[str, float]:
        """Return the metrics by their names with labels, those of all processes together."""
        url = f"{self.stack.operations_url('ingest')}/metrics"
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            lines = (await response.text()).splitlines()
        sums: dict[str, float] = Counter()  # type: ignore[assignment]  # of floats
        for line in lines:
            name, _, value = _PROCESS.sub("", line).rpartition(" ")
            if not name.startswith("#"):
                sums[name] += float(value)
        return sums

    async def has_cut_off(self, kind: str, *reasons: str) -> bool:
        """Return whether ingest has cut off connections of a kind for each of these reasons."""
        counts = await self.metrics()
        name = f"onefold_ingest_{kind}_cut_offs_total"
        return all(counts[f'{name}{{reason="{reason}"}}'] > 0 for reason in reasons)


@asynccontextmanager
async def flooded_ingest(
    folder: Path, settings: Mapping[str, str] | None = None
) -> AsyncIterator[FloodedIngest]:
    """Run ingest with low limits. `settings`: those of the servers, as a Stack takes them."""
    stack = Stack(folder, settings={**_SETTINGS, **(settings or {})}, only=("ingest",))
    async with stack:
        endpoints = ApiEndpoints(grpc={"ingest": stack.address("ingest")}, key=stack.admin_key)
        async with Client(endpoints) as client:
            keys = {
                "browser": await _make_key(client, "browser", SOURCE_TRUST_PUBLIC),
                "server": await _make_key(client, "server", SOURCE_TRUST_SERVER),
            }
        yield FloodedIngest(stack, keys)


async def _make_key(client: Client, name: str, trust: int) -> str:
    source = SourceDefined(source_id=name, channel="web", trust=trust)  # type: ignore[arg-type]  # an enum
    await client.admin.DefineSource(admin_pb.DefineSourceRequest(source=source))
    issue = admin_pb.IssueKeyRequest(role=ROLE_SOURCE, source_id=name)
    return str((await client.admin.IssueKey(issue)).key)


async def stored(dsn: str, mark: str) -> int:
    """Return how many facts hold a text. `dsn`: of a user that may read the log."""
    conn = await asyncpg.connect(dsn)
    try:
        count: int = await conn.fetchval(
            "SELECT count(*) FROM ingest.fact WHERE position($1 IN payload) > 0", mark.encode()
        )
    finally:
        await conn.close()
    return count
