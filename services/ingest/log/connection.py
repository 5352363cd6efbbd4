"""Holds the one connection through which a process appends to the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, cast

import asyncpg

from services.chassis.postgres.database import is_transient
from services.kernel.errors import StoreUnavailable

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

#: The time limit of a transaction, seconds.
_TIMEOUT_S = 30.0


class AppendConnection:
    """Lends its connection to one transaction at a time; after any error it opens a new one."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
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
        return cast(asyncpg.Connection, self._conn)

    async def _discard(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            with suppress(asyncpg.InterfaceError):  # a lost one is back in the pool already
                # Ends an open transaction on the server as well.
                conn.terminate()
            await self._pool.release(conn)
