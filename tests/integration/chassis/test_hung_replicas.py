"""Tests that a replica that hangs, or whose sessions hang, loses its shards to the others."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from service_fixtures import wait_until

from services.chassis.postgres import database as database_module
from services.chassis.postgres import leases
from services.chassis.postgres.database import Database, acquire, lock_class
from services.chassis.postgres.leases import MEMBERS, Leases
from services.chassis.postgres.migrate import migrate
from services.chassis.postgres.roles import ServiceRoles
from services.chassis.runtime.tasks import background, cancel_and_wait
from services.kernel.errors import StoreUnavailable

NAME, SHARDS = "ingest", 4
#: The greatest values: two in seconds, the number of probes.
KEEPALIVES = {"tcp_keepalives_idle": 10, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 3}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the limits, which have whole seconds in operation."""
    monkeypatch.setattr(leases, "MEMBERSHIP_POLL_S", 0.05)
    monkeypatch.setattr(leases, "ORPHANED_S", 0.5)


async def idle(_shard: int, _conn: asyncpg.Connection) -> None:
    await asyncio.Event().wait()


@pytest.mark.usefixtures("quick")
async def test_shard_of_a_session_that_hangs_inside_a_copy_is_taken_over(database: str) -> None:
    await migrate(database, NAME)
    async with Database(database, NAME) as store:
        # What remains of a frozen replica: its membership has timed out, its worker hangs.
        settings = {"application_name": "onefold:lease ingest of another replica"}
        hung = await store.connect(settings=settings)
        await hung.execute("SELECT pg_advisory_lock($1, $2)", lock_class(f"lease {NAME}"), 2)
        copying = asyncio.create_task(
            hung.copy_to_table("migration", source=_never(), format="csv")
        )
        lease = Leases(store, NAME, SHARDS, idle)
        async with background(lease.run()):
            await wait_until(lambda: lease.leased == set(range(SHARDS)))
        assert hung.is_closed()
        await cancel_and_wait(copying)


@pytest.mark.usefixtures("quick")
async def test_shards_of_a_living_member_are_left_alone(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "ORPHANED_S", 0.0)
    looks: list[int] = []
    end_orphans = Leases._end_orphans

    async def count(self: Leases, conn: asyncpg.Connection, locks: list[asyncpg.Record]) -> None:
        looks.append(len(locks))
        await end_orphans(self, conn, locks)

    monkeypatch.setattr(Leases, "_end_orphans", count)
    await migrate(database, NAME)
    async with Database(database, NAME) as store:
        first, second = Leases(store, NAME, SHARDS, idle), Leases(store, NAME, SHARDS, idle)
        async with background(first.run(), second.run()):
            await wait_until(lambda: len(first.leased) == len(second.leased) == 2)
            held = await store.pool.fetch(leases.Q.list_lease_locks, lock_class(f"lease {NAME}"))
            seen = len(looks)
            await wait_until(lambda: len(looks) > seen + 10)
            again = await store.pool.fetch(leases.Q.list_lease_locks, lock_class(f"lease {NAME}"))
            assert {row["pid"] for row in held} == {row["pid"] for row in again}


@pytest.mark.usefixtures("quick")
async def test_membership_of_a_replica_that_sends_nothing_ends(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "MEMBERSHIP_TIMEOUT_S", 1.0)
    monkeypatch.setattr(leases, "MEMBERSHIP_POLL_S", 60.0)
    await migrate(database, NAME)
    async with Database(database, NAME) as store:
        members = (leases.Q.list_lease_locks, lock_class(f"lease {NAME}"))

        async def count() -> int:
            rows = await store.pool.fetch(*members)
            return sum(row["shard"] == MEMBERS for row in rows)

        lease = Leases(store, NAME, SHARDS, idle)
        async with background(lease.run()):
            await wait_until(lambda: lease.leased == set(range(SHARDS)))
            assert await count() == 1
            await wait_until(lambda: _is_zero(count))


async def _is_zero(count: object) -> bool:
    return await count() == 0  # type: ignore[operator]


async def test_sessions_notice_a_host_that_is_gone(database: str) -> None:
    await migrate(database, NAME)
    async with Database(database, NAME) as store, store.pool.acquire() as conn:
        for setting, most in {**KEEPALIVES, "tcp_user_timeout": 30_000}.items():
            [row] = await conn.fetch(
                "SELECT setting::bigint AS value FROM pg_settings WHERE name = $1", setting
            )
            assert 0 < row["value"] <= most, setting


@pytest.mark.parametrize("refreshed", [False, True])
@pytest.mark.parametrize("single_role", [False, True])
async def test_statement_without_an_answer_is_given_up(
    database: str, monkeypatch: pytest.MonkeyPatch, single_role: bool, refreshed: bool
) -> None:
    """Where the host of PostgreSQL is gone, neither an answer nor an error comes."""
    monkeypatch.setattr(database_module, "COMMAND_TIMEOUT", 0.2)
    roles = None if single_role else ServiceRoles.from_dsn(database, NAME)
    await migrate(database, NAME, roles=roles)
    async with Database(database, NAME, roles=roles) as store:
        if refreshed:
            store.generation = 7
            await store.refresh()
        for pool in (store.pool, store.api_pool):
            with pytest.raises(StoreUnavailable):
                async with acquire(pool) as conn:
                    await conn.execute("SELECT pg_sleep(5)")


async def _never() -> object:
    await asyncio.Event().wait()
    yield b""
