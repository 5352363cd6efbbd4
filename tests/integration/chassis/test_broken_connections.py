"""Connections in a broken protocol state: the store counts as away, and they are never reused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import pytest
from service_fixtures import wait_until
from toy.running import DEADLINE, append, replica
from toy.words import WordLog, sample_facts

from services.chassis.postgres.database import Database, acquire, connect_pool
from services.chassis.postgres.migrate import migrate
from services.kernel.errors import StoreUnavailable

#: What PostgreSQL sends to a session that it ends.
_FIELDS = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
SESSION_ENDED = b"E" + (len(_FIELDS) + 4).to_bytes(4, "big") + _FIELDS


def end_session(conn: asyncpg.Connection) -> None:
    """Deliver the end of the session to the client, which has not seen the socket close yet."""
    getattr(conn, "_con", conn)._protocol.data_received(SESSION_ENDED)


@asynccontextmanager
async def unfinished(conn: asyncpg.Connection) -> AsyncIterator[None]:
    """Leave the connection in the middle of an operation that will not end."""
    operation = asyncio.create_task(conn.execute("SELECT pg_sleep(3600)"))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        operation.cancel()
        with suppress(asyncio.CancelledError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await operation


async def use_ended_session(pool: asyncpg.Pool) -> None:
    async with acquire(pool) as conn:
        end_session(conn)
        await conn.fetchval("SELECT 1")


async def test_operation_after_the_session_ended_is_store_unavailable(database: str) -> None:
    async with await connect_pool(database, schema="public", max_size=1) as pool:
        with pytest.raises(StoreUnavailable) as raised:
            await use_ended_session(pool)
        assert isinstance(raised.value.__cause__, asyncpg.InternalClientError)
        async with acquire(pool) as conn:
            assert await conn.fetchval("SELECT 1") == 1


async def test_operation_during_another_one_is_store_unavailable(database: str) -> None:
    async with await connect_pool(database, schema="public", max_size=1) as pool:
        with pytest.raises(StoreUnavailable) as raised:
            async with acquire(pool) as conn, unfinished(conn):
                await conn.fetchval("SELECT 1")
        assert "another operation is in progress" in str(raised.value.__cause__)
        async with acquire(pool) as conn:
            assert await conn.fetchval("SELECT 1") == 1


async def test_broken_connection_does_not_return_to_the_pool(database: str) -> None:
    async with await connect_pool(database, schema="public", max_size=1) as pool:
        pids = []
        for _ in range(2):
            async with acquire(pool) as conn:
                pids.append(conn.get_server_pid())
            with suppress(StoreUnavailable):
                await use_ended_session(pool)
        assert len(set(pids)) == 2


async def test_connection_returns_to_the_pool_without_a_statement(database: str) -> None:
    async with await connect_pool(database, schema="public", max_size=1) as pool:
        sent: list[str] = []
        for _ in range(2):
            async with acquire(pool) as conn:
                getattr(conn, "_con", conn).add_query_logger(lambda query: sent.append(query.query))
                await conn.execute("SELECT 1")
        assert set(sent) == {"SELECT 1"}


async def test_database_with_a_broken_connection_can_be_closed(
    database: str, tmp_path: Path
) -> None:
    await migrate(database, "toy", shards=0, root=tmp_path)
    async with Database(database, "toy") as opened:
        async with acquire(opened.pool) as conn:
            assert await conn.fetchval("SELECT 1") == 1
        conns = [holder._con for holder in opened.pool._holders if holder._con]
        for each in conns:
            end_session(each)


@pytest.mark.parametrize("broken", ["ended", "unfinished"])
async def test_worker_with_a_broken_connection_is_restarted_on_another_one(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path, broken: str
) -> None:
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await toy.runner.wait_for(await append(word_log, None, sample_facts(10)), DEADLINE)
        [worker] = toy.runner._workers
        conn = worker._conn
        if broken == "ended":
            end_session(conn)
            await toy.runner.wait_for(await append(word_log, None, sample_facts(10, 1)), DEADLINE)
        else:
            async with unfinished(conn):
                await toy.runner.wait_for(
                    await append(word_log, None, sample_facts(10, 1)), DEADLINE
                )
        assert await toy.word_total() == 20
        assert conn.is_closed()
        await wait_until(lambda: toy.runner._workers and worker not in toy.runner._workers)
