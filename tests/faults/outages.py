"""Outages that a whole system lives through: each is a scope that ends the outage at its end."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
from faults.running_system import RECOVERY_S, RunningSystem, retry
from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.projection.v1 import projection_service_pb2 as projection_pb

from services.cli.commands.rebuild import REBUILT
from services.cli.health import load_problems
from services.client.api import ProjectionApi
from services.client.client import PROJECTIONS
from services.devstack.postgres import ADMIN, PostgresServer
from services.devstack.process import workers_in
from services.devstack.stack import Stack
from tests.service_fixtures import wait_until

#: Seconds within which a system heals once an outage has ended. Nothing helps it.
HEAL_S = 180.0


@asynccontextmanager
async def read_only(stack: Stack) -> AsyncIterator[None]:
    """PostgreSQL takes no writes, as a standby in the midst of its promotion."""
    await _configure(stack.postgres.superuser_dsn, "default_transaction_read_only = on")
    try:
        yield
    finally:
        # The superuser's own session is read-only as well.
        await _configure(stack.postgres.superuser_dsn, "default_transaction_read_only = off")


async def _configure(dsn: str, setting: str) -> None:
    conn = await asyncpg.connect(dsn, server_settings={"default_transaction_read_only": "off"})
    try:
        await conn.execute(f"ALTER SYSTEM SET {setting}")
        await conn.execute("SELECT pg_reload_conf()")
    finally:
        await conn.close()


@asynccontextmanager
async def frozen(stack: Stack, name: str) -> AsyncIterator[None]:
    """One process stops where it is, with its connections open."""
    match name:
        case "postgres":
            pids = _postgres_pids(stack)
        case "nats":
            pids = [stack.nats.pid]
        case _:
            pids = [stack.services[name].pid]
    for pid in pids:
        with suppress(ProcessLookupError):  # it is starting again, after an earlier fault
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _postgres_pids(stack: Stack) -> list[int]:
    return [stack.postgres.pid, *workers_in(stack.postgres.cluster)]


@asynccontextmanager
async def full_disk(data_dir: Path) -> AsyncIterator[None]:
    """A small file system, which the data folder is on, has no room for one more byte."""
    ballast = data_dir / "ballast"
    with suppress(OSError), ballast.open("wb") as file:
        while True:
            file.write(bytes(1 << 20))
            file.flush()
    try:
        yield
    finally:
        ballast.unlink()


@asynccontextmanager
async def small_file_system(folder: Path, megabytes: int) -> AsyncIterator[Path]:
    """Mount a file system in memory. Raises PermissionError where this account may not mount."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    done = await asyncio.to_thread(subprocess.run, mount, capture_output=True, check=False)
    if done.returncode:
        raise PermissionError("this account may not mount a file system")
    try:
        yield folder
    finally:
        await asyncio.to_thread(subprocess.run, ["umount", "--lazy", str(folder)], check=True)


@asynccontextmanager
async def clock_ahead(stack: Stack, years: int = 4) -> AsyncIterator[None]:
    """The clock of PostgreSQL is years ahead, as far as the log can see."""
    conn = await asyncpg.connect(stack.postgres.superuser_dsn)
    try:
        source = await conn.fetchval("SELECT pg_get_functiondef('ingest.lock_heads'::regproc)")
        ahead = source.replace("clock_timestamp()", f"(clock_timestamp() + '{years} years')")
        assert ahead != source
        await conn.execute(ahead)
        try:
            yield
        finally:
            await conn.execute(source)
    finally:
        await conn.close()


async def restore_log_alone(stack: Stack, facts: int, *, start: bool = True) -> None:
    """Restore the log as it was some facts a shard ago, while no service runs."""
    await asyncio.gather(*(service.stop() for service in stack.services.values()))
    conn = await asyncpg.connect(stack.postgres.superuser_dsn)
    try:
        async with conn.transaction():
            await conn.execute("SET LOCAL search_path TO ingest")
            await conn.execute("UPDATE head SET next = greatest(0, next - $1)", facts)
            await conn.execute(
                "DELETE FROM fact USING head"
                " WHERE fact.shard = head.shard AND fact.offset >= head.next"
            )
    finally:
        await conn.close()
    if start:
        for service in stack.services.values():
            service.start()


class Pair:
    """A primary PostgreSQL and its asynchronous standby, each of its own data folder."""

    def __init__(self, folder: Path) -> None:
        self.primary = PostgresServer(folder / "one", settings={"wal_level": "replica"})
        self.standby = PostgresServer(folder / "two", settings={"wal_level": "replica"})
        self._scope = AsyncExitStack()

    @property
    def dsn(self) -> str:
        """The DSN of the services, which names both hosts."""
        first, second = (server.dsn for server in (self.primary, self.standby))
        host = second.rpartition("@")[2].partition("/")[0]
        hosts, _, database = first.rpartition("/")
        return f"{hosts},{host}/{database}"

    async def __aenter__(self) -> Pair:
        async with self.primary:
            pass  # makes the cluster, the database and the roles
        await asyncio.to_thread(copy_cluster, self.primary, self.standby)
        await self._scope.enter_async_context(self.primary)
        admin = self.primary.admin_dsn
        password = admin.partition("//")[2].partition("@")[0].partition(":")[2]
        settings = self.standby.cluster / "postgresql.auto.conf"
        with settings.open("a") as file:
            file.write(
                f"primary_conninfo = 'host=127.0.0.1 port={self.primary.port} user={ADMIN}"
                f" password={password}'\n"
            )
        signal_file = self.standby.cluster / "standby.signal"
        signal_file.touch()
        owner = settings.stat()
        os.chown(signal_file, owner.st_uid, owner.st_gid)
        await self._scope.enter_async_context(self.standby)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._scope.aclose()

    async def lag(self) -> None:
        """Cut the standby off: from now on it receives nothing."""
        await _configure(self.standby.admin_dsn, "primary_conninfo = ''")

    async def fail_over(self) -> None:
        """Kill the primary, and promote the standby as it is."""
        for pid in (self.primary.pid, *workers_in(self.primary.cluster)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        conn = await asyncpg.connect(self.standby.admin_dsn)
        try:
            assert await conn.fetchval("SELECT pg_promote()")
        finally:
            await conn.close()


def copy_cluster(source: PostgresServer, target: PostgresServer) -> None:
    """Copy the files and the passwords of a server that does not run."""
    target.home.mkdir(mode=0o711, parents=True)
    shutil.copy2(source.home / "passwords.json", target.home)
    copy = ["cp", "-a", str(source.cluster), str(target.cluster)]
    subprocess.run(copy, check=True)


async def heal(system: RunningSystem) -> None:
    """Wait until every service is ready and has folded the whole log."""
    stack = system.stack
    urls = {name: stack.operations_url(name) for name in stack.endpoints()}

    async def is_ready() -> bool:
        return not await load_problems(urls)

    await wait_until(is_ready, HEAL_S)
    head = await retry(system.internal.log.GetHead, log_pb.GetHeadRequest())
    for service in PROJECTIONS:
        request = projection_pb.AwaitTokenRequest(token=head.token)
        await retry(system.internal.projection(service).AwaitToken, request)


async def verify(system: RunningSystem) -> dict[str, list[str]]:
    """Rebuild each projection beside the live one; return the rows that differ, by service."""
    found = {}
    async with asyncio.timeout(RECOVERY_S):
        for service in REBUILT:
            rebuild = system.internal.projection(service).Rebuild
            reports = [report async for report in rebuild(projection_pb.RebuildRequest())]
            assert reports[-1].finished
            if not reports[-1].equal:
                found[service] = list(reports[-1].differing_rows) or ["digest"]
    return found


async def resync(system: RunningSystem) -> None:
    """Make the services follow the log as it is, which is an operator's decision."""
    for service in REBUILT:
        projection = system.internal.projection(service)
        # The channel may still have the connection to the process of before.
        await retry(projection.GetDigest, projection_pb.GetDigestRequest())
        # The service above may not have published all of a shard yet.
        reports = await retry(
            partial(_all_reports, projection), projection_pb.RebuildRequest(resync=True)
        )
        assert reports[-1].switched


async def _all_reports(
    projection: ProjectionApi, request: projection_pb.RebuildRequest, **options: Any
) -> list[projection_pb.RebuildResponse]:
    return [each async for each in projection.Rebuild(request)]


def pick(seed: int, first: float, last: float) -> float:
    """Return a duration that is a function of the seed, seconds."""
    return Random(seed).uniform(first, last)
