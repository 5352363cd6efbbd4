"""Assigns the shards of a service to its replicas, each shard to one replica at a time.

A replica is a member of the group as long as its session holds a shared advisory lock. Shard s goes
to member s mod members, in the order of the process ids of their sessions. A shard is worked under
the exclusive lock of a session, so two replicas that count the members differently for a moment
wait for one another. When a replica dies, PostgreSQL ends its sessions, and the others assign its
shards among themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg
import structlog

from services.chassis.postgres.database import Database, Queries, lock_class, translate_store_errors
from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.tasks import cancel_and_wait, raise_if_cancelled
from services.kernel.errors import StoreUnavailable

log = structlog.get_logger(__name__)

Q = Queries.load(__package__, "leases.sql")

#: Seconds between two counts of the members, and so the longest time for which the shards of a dead
#: replica stay unassigned.
MEMBERSHIP_POLL_S = 0.5
#: The number of the lock that all members share; no shard has it.
MEMBERS = 2**31 - 1
#: Work that ran for this many seconds before it failed is restarted after the shortest pause.
_STABLE_S = 2.0
_CLOSE_TIMEOUT = 2.0

Work = Callable[[int, asyncpg.Connection], Awaitable[None]]


class Leases:
    """Runs `work(shard, connection)` for the shards that are assigned to this replica.

    `name` names the group, such as `profile`. The connection holds the lock of the shard and is the
    work's own; where it is lost, the work is cancelled and restarted. Work that ends or fails is
    restarted too, after a growing pause.
    """

    def __init__(self, database: Database, name: str, shards: int, work: Work) -> None:
        self._database = database
        self._name = name
        self._class = lock_class(f"lease {name}")
        self._shards = shards
        self._work = work
        self._tasks: dict[int, asyncio.Task[None]] = {}
        #: The shards that this replica holds.
        self.leased: set[int] = set()

    async def leased_by_anyone(self, conn: asyncpg.Connection) -> frozenset[int]:
        """Load the shards that any replica holds."""
        rows = await conn.fetch(Q.list_lease_locks, self._class)
        return frozenset(row["shard"] for row in rows if row["shard"] != MEMBERS)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    await self._join_group(group)
                except StoreUnavailable:
                    log.warning("lease_group_left", lease=self._name)
                raise_if_cancelled()
                await asyncio.sleep(MEMBERSHIP_POLL_S)

    async def _join_group(self, group: asyncio.TaskGroup) -> None:
        async with self._session() as conn:
            await conn.execute(Q.join_group, self._class, MEMBERS)
            own = conn.get_server_pid()
            while True:
                rows = await conn.fetch(Q.list_lease_locks, self._class)
                members = sorted(row["pid"] for row in rows if row["shard"] == MEMBERS)
                self._assign_shards(group, members.index(own), len(members))
                await asyncio.sleep(MEMBERSHIP_POLL_S)

    def _assign_shards(self, group: asyncio.TaskGroup, rank: int, members: int) -> None:
        assigned = {shard for shard in range(self._shards) if shard % members == rank}
        for shard in self._tasks.keys() - assigned:
            self._tasks.pop(shard).cancel()
        for shard in assigned - self._tasks.keys():
            self._tasks[shard] = group.create_task(self._keep_leased(shard))

    async def _keep_leased(self, shard: int) -> None:
        """Hold a shard and work it, whatever fails, until cancelled."""
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        while True:
            began = loop.time()
            try:
                await self._run_leased(shard)
            except Exception as error:
                write = log.info if isinstance(error, StoreUnavailable) else log.exception
                kind = type(error).__name__
                write("lease_interrupted", lease=self._name, shard=shard, error=kind)
            raise_if_cancelled()
            if loop.time() - began > _STABLE_S:
                backoff.reset()
            await asyncio.sleep(backoff.next_s())

    async def _run_leased(self, shard: int) -> None:
        async with self._session() as conn:
            # Waits in the server, which grants the lock the moment its last holder releases it.
            await conn.execute(Q.lock_shard, self._class, shard)
            self.leased.add(shard)
            log.info("shard_leased", lease=self._name, shard=shard)
            try:
                await self._work_while_connected(shard, conn)
            finally:
                self.leased.discard(shard)
                log.info("shard_released", lease=self._name, shard=shard)

    async def _work_while_connected(self, shard: int, conn: asyncpg.Connection) -> None:
        lost = asyncio.Event()
        conn.add_termination_listener(lambda _: lost.set())
        work = asyncio.ensure_future(self._work(shard, conn))
        watch = asyncio.ensure_future(lost.wait())
        try:
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise StoreUnavailable("the connection that holds the lock of the shard is lost")
            work.result()
        finally:
            await cancel_and_wait(work)
            await cancel_and_wait(watch)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[asyncpg.Connection]:
        with translate_store_errors():
            conn = await self._database.connect(point_lookups=True)
            try:
                yield conn
            finally:
                # Where it fails, asyncpg has dropped the socket, which ends the session too.
                with suppress(Exception):
                    await conn.close(timeout=_CLOSE_TIMEOUT)
