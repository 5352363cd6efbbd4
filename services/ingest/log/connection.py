"""Holds the one connection through which a process appends to the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, cast

import asyncpg
import structlog

from services.chassis.postgres.database import Queries
from services.chassis.postgres.errors import is_transient
from services.kernel.errors import StoreUnavailable

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

Q = Queries.load(__package__, "connection.sql")

log = structlog.get_logger(__name__)

#: The time limit of a transaction, seconds.
_TIMEOUT_S = 30.0
#: A session that holds locks of the log and waits for its client is ended after so many seconds.
HUNG_CLIENT_S = 10.0

#: Reads what a process remembers of the log; called with each connection before its first use.
Opened = Callable[[asyncpg.Connection], Awaitable[None]]


class CommitsNotDurable(StoreUnavailable):
    """The sessions of the role acknowledge commits that are not on disk."""


class AppendConnection:
    """Lends its connection to one transaction at a time; after any error it opens a new one.

    What a process remembers of the log is valid for one connection: behind the next one there may
    be a database that went back, such as a promoted standby or a restored backup.
    """

    def __init__(self, pool: asyncpg.Pool, opened: Opened) -> None:
        self._pool = pool
        self._opened = opened
        self._lock = asyncio.Lock()
        self._conn: PoolConnectionProxy[asyncpg.Record] | None = None

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend the connection. Raises StoreUnavailable where PostgreSQL is down or too slow."""
        async with self._lock:
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    yield await self._open()
            except BaseException as error:
                await self._discard()
                if isinstance(error, (asyncpg.LockNotAvailableError, TimeoutError)):
                    await self._end_hung_sessions()
                if is_transient(error):
                    raise StoreUnavailable("PostgreSQL does not respond; retry") from error
                raise

    async def close(self) -> None:
        """Return the connection to the pool."""
        async with self._lock:
            await self._discard()

    async def _open(self) -> asyncpg.Connection:
        if self._conn is None:
            self._conn = await self._pool.acquire()
            conn = cast(asyncpg.Connection, self._conn)
            await ensure_durable(conn)
            await self._opened(conn)
        return cast(asyncpg.Connection, self._conn)

    async def _discard(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            with suppress(asyncpg.InterfaceError):  # a lost one is back in the pool already
                # Ends an open transaction on the server as well.
                conn.terminate()
            await self._pool.release(conn)

    async def _end_hung_sessions(self) -> None:
        """End sessions of this role that hang inside a COPY and hold the locks of the log.

        No time limit of PostgreSQL ends such a session while it waits for the data of its client.
        """
        with suppress(Exception):
            async with asyncio.timeout(_TIMEOUT_S):
                ended = await self._pool.fetch(Q.end_hung_sessions, HUNG_CLIENT_S)
            for row in ended:
                log.warning("hung_append_ended", pid=row["pid"])


async def ensure_durable(conn: asyncpg.Connection) -> None:
    """Raise CommitsNotDurable where the session acknowledges commits that are not on disk."""
    if await conn.fetchval(Q.synchronous_commit) == "off":
        raise CommitsNotDurable(
            "PostgreSQL acknowledges commits that are not on disk: remove synchronous_commit = off"
            " from the role, the database and the configuration of the server"
        )
