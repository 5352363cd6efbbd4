"""Ingest in two processes on one port: what is acknowledged is in the log, whichever dies."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import asyncpg
import pytest
from integration.ingest.ingest_endpoints import make_call, make_source
from onefold.log.v1.log_pb2 import FactBatch
from onefold.type.v1.event_pb2 import Event
from service_fixtures import BUS_KEY, open_bus, wait_until

from services.chassis.runtime.run import endpoints_file
from services.chassis.runtime.shared_ports import CAN_SPREAD
from services.devstack.folders import ROOT
from tests.index_key import INDEX_KEY_TEXT

pytestmark = pytest.mark.skipif(not CAN_SPREAD, reason="only Linux spreads connections")

SHARDS = 4


class Processes:
    """A running ingest of two processes."""

    def __init__(self, parent: asyncio.subprocess.Process, folder: Path, dsn: str) -> None:
        self.parent = parent
        self.folder = folder
        self.dsn = dsn
        self.ports: dict[str, int] = {}
        self.key = ""

    async def serve(self) -> None:
        """Wait until both processes serve, and make a source."""
        file = endpoints_file(self.folder, "ingest")
        await wait_until(lambda: self.started() >= 2 and file.exists())
        self.ports = json.loads(file.read_text())
        service: Any = SimpleNamespace(internal_grpc_port=self.ports["internal_grpc_port"])
        admin_key = (self.folder / "admin.key").read_text().strip()
        self.key = await make_source(service, admin_key, "site", "web")

    def started(self) -> int:
        """Return how many processes have served since the start."""
        return (self.folder / "log").read_text().count('"event": "process_serves"')

    def children(self) -> list[int]:
        pid = self.parent.pid
        return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    async def send(self, call: dict[str, Any]) -> bool:
        """Send a call over a connection of its own; return whether it is acknowledged."""
        url = f"http://127.0.0.1:{self.ports['http_port']}/v1/track"
        headers = {"Authorization": f"Bearer {self.key}"}
        try:
            async with (
                aiohttp.ClientSession() as http,
                http.post(url, json=call, headers=headers) as response,
            ):
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def logged(self) -> Counter[str]:
        """Return how often each message id is in the log."""
        conn = await asyncpg.connect(self.dsn)
        try:
            rows = await conn.fetch(
                "SELECT payload FROM ingest.fact JOIN ingest.kind USING (kind_id)"
                " WHERE kind.name = 'onefold.type.v1.Event'"
            )
        finally:
            await conn.close()
        return Counter(Event.FromString(row["payload"]).message_id for row in rows)

    async def heads(self) -> list[int]:
        """Return the end of each shard of the log."""
        conn = await asyncpg.connect(self.dsn)
        try:
            rows = await conn.fetch("SELECT next FROM ingest.head ORDER BY shard")
        finally:
            await conn.close()
        return [row["next"] for row in rows]


@asynccontextmanager
async def two_processes(folder: Path, dsn: str, nats_url: str) -> AsyncIterator[Processes]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ONEFOLD_")}
    settings = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "gen")]),
        "ONEFOLD_POSTGRES_DSN": dsn,
        "ONEFOLD_NATS_URL": nats_url,
        "ONEFOLD_INTERNAL_KEY": secrets.token_urlsafe(32),
        "ONEFOLD_BUS_KEY": BUS_KEY,
        "ONEFOLD_INDEX_KEY": INDEX_KEY_TEXT,
        "ONEFOLD_ACTIVATION_URL": "127.0.0.1:1",
        "ONEFOLD_DATA_DIR": str(folder),
        "ONEFOLD_INGEST_PROCESSES": "2",
    }
    with (folder / "log").open("wb") as log:
        parent = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.ingest"),
            env=inherited | settings,
            cwd=ROOT,
            stderr=log,
        )
    try:
        running = Processes(parent, folder, dsn)
        await running.serve()
        yield running
    finally:
        if parent.returncode is None:
            parent.kill()
            await parent.wait()


async def test_acknowledged_events_are_in_the_log_and_on_the_bus_whichever_process_dies(
    tmp_path: Path, database: str, nats_url: str
) -> None:
    acknowledged: set[str] = set()
    async with two_processes(tmp_path, database, nats_url) as ingest:
        sending = True

        async def sender() -> None:
            while sending:
                call = make_call(messageId=str(uuid.uuid4()))
                if await ingest.send(call):
                    acknowledged.add(call["messageId"])

        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(sender())
            for number in range(2):
                await wait_until(lambda n=number: len(acknowledged) > 60 * (n + 1))
                os.kill(ingest.children()[0], signal.SIGKILL)
                await wait_until(lambda n=number: ingest.started() == 3 + n)
            sending = False
        ends = await ingest.heads()
        await wait_until(lambda: _are_relayed(nats_url, ends))
        sending, before = True, len(acknowledged)
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(sender())
            await wait_until(lambda: len(acknowledged) > before + 20)
            ingest.parent.kill()
            await ingest.parent.wait()
            sending = False
        logged = await ingest.logged()
    assert acknowledged <= logged.keys()
    assert set(logged.values()) == {1}


async def _are_relayed(nats_url: str, ends: list[int]) -> bool:
    """Return whether the stream has all facts of the log, each shard in order, without a gap."""
    at = [-1] * SHARDS
    async with open_bus(nats_url, "test") as bus:
        await bus.ready()
        state = (await bus.jetstream.stream_info("ONEFOLD_LOG")).state
        for number in range(state.first_seq, state.last_seq + 1):
            message = await bus.jetstream.get_msg("ONEFOLD_LOG", number)
            batch = FactBatch.FromString(message.data or b"")
            begins = at[batch.shard] if at[batch.shard] >= 0 else batch.first_offset
            assert batch.first_offset <= begins
            at[batch.shard] = max(begins, batch.first_offset + len(batch.facts))
    return at == ends
