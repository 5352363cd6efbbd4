"""Leases: the replicas of a service share its shards, each shard held by one of them.

A replica is a member as long as its session holds a shared advisory lock. The members, ordered by
the process ids of their sessions, deal the shards among themselves: shard s goes to member
s mod members. A shard is worked under a session's exclusive lock, so that two replicas that count
differently for a moment wait for one another. When a replica dies, PostgreSQL ends its
sessions, and the others deal anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg
import structlog

from services.chassis.postgres.database import Database, Queries, lock_class, translate_store_errors
from services.chassis.runtime.tasks import cancel_and_wait, raise_if_cancelled
from services.kernel.errors import StoreUnavailable

log = structlog.get_logger(__name__)

Q = Queries.load("services.chassis.projection")

#: Seconds between two counts of the members, which bounds how long a dead one's shards lie still.
MEMBERSHIP_POLL_S = 0.5
#: The lock that members share stands where no shard can.
MEMBERS = 2**31 - 1
_PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0)
_CLOSE_TIMEOUT = 2.0

Work = Callable[[int, asyncpg.Connection], Awaitable[None]]


class Leases:
    """Runs `work(shard, connection)` for the shards that fall to this replica.

    `name` names what is shared, such as `profile`. The connection holds the lock and is the work's
    own; where it is lost, the work is cancelled and begun again. Work that ends or fails is
    begun again too, after a growing pause.
    """

    def __init__(self, database: Database, name: str, shards: int, work: Work) -> None:
        self._database = database
        self._name = name
        self._class = lock_class(f"lease {name}")
        self._shards = shards
        self._work = work
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._held: set[int] = set()

    @property
    def leased(self) -> frozenset[int]:
        """The shards that this replica holds."""
        return frozenset(self._held)

    async def leased_by_anyone(self, conn: asyncpg.Connection) -> frozenset[int]:
        """The shards that any replica holds."""
        rows = await conn.fetch(Q.list_leases, self._class)
        return frozenset(row["shard"] for row in rows if row["shard"] != MEMBERS)

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    await self._join_group(group)
                except StoreUnavailable:
                    log.warning("membership_lost", lease=self._name)
                raise_if_cancelled()
                await asyncio.sleep(MEMBERSHIP_POLL_S)

    async def _join_group(self, group: asyncio.TaskGroup) -> None:
        async with self._session() as conn:
            await conn.execute("SELECT pg_advisory_lock_shared($1, $2)", self._class, MEMBERS)
            own = conn.get_server_pid()
            while True:
                rows = await conn.fetch(Q.list_leases, self._class)
                members = sorted(row["pid"] for row in rows if row["shard"] == MEMBERS)
                self._assign_shards(group, members.index(own), len(members))
                await asyncio.sleep(MEMBERSHIP_POLL_S)

    def _assign_shards(self, group: asyncio.TaskGroup, rank: int, members: int) -> None:
        due = {shard for shard in range(self._shards) if shard % members == rank}
        for shard in self._tasks.keys() - due:
            self._tasks.pop(shard).cancel()
        for shard in due - self._tasks.keys():
            self._tasks[shard] = group.create_task(self._keep_leased(shard))

    async def _keep_leased(self, shard: int) -> None:
        """Holds a shard and works it, again and again."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            try:
                await self._run_leased(shard)
            except Exception as error:
                told = log.info if isinstance(error, StoreUnavailable) else log.exception
                told("lease_interrupted", lease=self._name, shard=shard, error=type(error).__name__)
            raise_if_cancelled()
            failures = 0 if loop.time() - began > _PAUSES[-1] else failures + 1
            await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])

    async def _run_leased(self, shard: int) -> None:
        async with self._session() as conn:
            # Waits in the server: the shard is ours the moment its last holder is gone.
            await conn.execute("SELECT pg_advisory_lock($1, $2)", self._class, shard)
            self._held.add(shard)
            log.info("shard_taken", lease=self._name, shard=shard)
            try:
                await self._work_while_connected(shard, conn)
            finally:
                self._held.discard(shard)
                log.info("shard_released", lease=self._name, shard=shard)

    async def _work_while_connected(self, shard: int, conn: asyncpg.Connection) -> None:
        lost = asyncio.Event()
        conn.add_termination_listener(lambda _: lost.set())
        work = asyncio.ensure_future(self._work(shard, conn))
        watch = asyncio.ensure_future(lost.wait())
        try:
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise StoreUnavailable("the connection that held the shard is lost")
            work.result()
        finally:
            await cancel_and_wait(work)
            await cancel_and_wait(watch)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[asyncpg.Connection]:
        with translate_store_errors():
            conn = await self._database.connect(by_key=True)
            try:
                yield conn
            finally:
                with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await conn.close(timeout=_CLOSE_TIMEOUT)
