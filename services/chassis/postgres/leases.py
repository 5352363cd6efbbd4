"""Assigns the shards of a service to its replicas, each shard to one replica at a time.

A replica is a member of the group as long as its session holds a shared advisory lock. Shard s goes
to member s mod members, in the order of the process ids of their sessions. A shard is worked under
the exclusive lock of a session, so two replicas that count the members differently for a moment
wait for one another. When a replica dies, PostgreSQL ends its sessions, and the others assign its
shards among themselves.

A replica that hangs, or whose host is gone, sends nothing: PostgreSQL ends its idle membership
after `MEMBERSHIP_TIMEOUT_S`. Its other sessions may never end by themselves, such as one inside a
COPY, so the remaining members end those that still hold a shard. The fence makes that safe.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import asyncpg
import structlog

from services.chassis.postgres.database import Database, Queries, lock_class
from services.chassis.postgres.errors import translate_store_errors
from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.tasks import cancel_and_wait, raise_if_cancelled
from services.kernel.errors import StoreUnavailable

log = structlog.get_logger(__name__)

Q = Queries.load(__package__, "leases.sql")

#: Seconds between two counts of the members, and so the longest time for which the shards of a dead
#: replica stay unassigned. A count stops all who lock something for as long as PostgreSQL copies
#: its table of locks, some milliseconds under load.
MEMBERSHIP_POLL_S = 1.0
#: Seconds without a count after which PostgreSQL ends the membership of a replica; and how long a
#: count may take before PostgreSQL counts as lost.
MEMBERSHIP_TIMEOUT_S = 10.0
#: Seconds for which a session may hold a shard without being a member's: it may just be closing.
ORPHANED_S = 5.0
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
        #: Names all sessions of this replica.
        self._replica = f"onefold:lease {name} {secrets.token_hex(6)}"
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._sessions: set[asyncpg.Connection] = set()
        #: Since when a session (process id, replica) holds a shard without being a member's.
        self._orphaned_since: dict[tuple[int, str], float] = {}
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
                except Exception as error:
                    kind = type(error.__cause__ or error).__name__
                    log.warning("lease_group_left", lease=self._name, error=kind)
                raise_if_cancelled()
                await asyncio.sleep(MEMBERSHIP_POLL_S)

    async def _join_group(self, group: asyncio.TaskGroup) -> None:
        idle = {"idle_session_timeout": f"{MEMBERSHIP_TIMEOUT_S:.0f}s"}
        async with self._session(idle) as conn:
            await conn.execute(Q.join_group, self._class, MEMBERS)
            own = conn.get_server_pid()
            while True:
                try:
                    rows = await conn.fetch(
                        Q.list_lease_locks, self._class, timeout=MEMBERSHIP_TIMEOUT_S
                    )
                except TimeoutError:
                    self._end_own_sessions()
                    raise
                members = sorted(row["pid"] for row in rows if row["shard"] == MEMBERS)
                self._assign_shards(group, members.index(own), len(members))
                await self._end_orphans(conn, rows)
                await asyncio.sleep(MEMBERSHIP_POLL_S)

    def _end_own_sessions(self) -> None:
        """Give up all shards: PostgreSQL does not answer, and no error may come for long."""
        for session in tuple(self._sessions):
            session.terminate()

    async def _end_orphans(self, conn: asyncpg.Connection, locks: Sequence[asyncpg.Record]) -> None:
        """End sessions that have held a shard for `ORPHANED_S` without being a member's."""
        members = {row["replica"] for row in locks if row["shard"] == MEMBERS}
        orphans = {
            (row["pid"], row["replica"])
            for row in locks
            if row["shard"] != MEMBERS and row["replica"] and row["replica"] not in members
        }
        now = asyncio.get_running_loop().time()
        self._orphaned_since = {one: self._orphaned_since.get(one, now) for one in orphans}
        for pid, replica in orphans:
            if now - self._orphaned_since[pid, replica] >= ORPHANED_S:
                log.warning("hung_replica_ended", lease=self._name, pid=pid)
                await conn.execute(Q.end_session, pid, replica)

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
    async def _session(self, settings: Mapping[str, str] = {}) -> AsyncIterator[asyncpg.Connection]:
        settings = {"application_name": self._replica, **settings}
        with translate_store_errors():
            conn = await self._database.connect(point_lookups=True, settings=settings)
            self._sessions.add(conn)
            try:
                yield conn
            finally:
                self._sessions.discard(conn)
                # Where it fails, asyncpg has dropped the socket, which ends the session too.
                with suppress(Exception):
                    await conn.close(timeout=_CLOSE_TIMEOUT)
