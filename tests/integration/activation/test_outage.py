"""PostgreSQL goes away while messages are sent, again and again: nothing is lost or told twice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest_asyncio
from aiohttp import web
from integration.activation.ledger_world import Ledger, change, hook, open_ledger
from integration.activation.receiver import Receiver

from services.activation.domain.model import State
from services.chassis.postgres.database import connect
from services.chassis.testing import QUICK, wait_until
from services.devstack.postgres import PostgresServer
from services.kernel.errors import StoreUnavailable
from services.kernel.ids import to_hex

PEOPLE = 600


@pytest_asyncio.fixture(loop_scope="session")
async def server(tmp_path: Path) -> AsyncIterator[PostgresServer]:
    """A PostgreSQL of its own, to be killed; it comes back."""
    async with PostgresServer(tmp_path, settings=QUICK) as opened:
        watching = asyncio.create_task(opened.watch())
        yield opened
    await watching


async def test_lost_connections_lose_nothing(ledger: Ledger, receiver: Receiver) -> None:
    """Every connection is cut over and over in the middle of whatever it does."""
    to = hook(receiver.url())
    await ledger.define(to)
    made = await ledger.add([change(n) for n in range(PEOPLE)], to)
    killer = await connect(ledger.dsn, schema="public")
    cut = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    async with ledger.dispatching(lease_s=2.0):
        for share in range(1, 9):
            enough = share * PEOPLE // 10
            await wait_until(lambda: len(receiver.got) >= enough)  # noqa: B023 - asked at once
            await killer.execute(cut)
        await killer.close()
        await _all_delivered(ledger)
    _each_once_or_the_same_again(receiver, {to_hex(e.effect_id) for e in made})


async def test_a_killed_server_loses_nothing(server: PostgresServer, receiver: Receiver) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0)
        return web.Response()

    receiver.script = [answer]
    to = hook(receiver.url())
    async with open_ledger(server.dsn) as ledger:
        await ledger.define(to)
        made = await ledger.add([change(n) for n in range(PEOPLE)], to)
        async with ledger.dispatching(lease_s=2.0):
            await wait_until(lambda: len(receiver.got) > PEOPLE // 4)
            killed = server.pid
            os.kill(killed, signal.SIGKILL)
            await wait_until(lambda: server.pid != killed)
            await _all_delivered(ledger)
    _each_once_or_the_same_again(receiver, {to_hex(e.effect_id) for e in made})


async def _all_delivered(ledger: Ledger) -> None:
    async def delivered() -> bool:
        try:
            return await ledger.states() == {State.DELIVERED.name: PEOPLE}
        except (StoreUnavailable, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False

    await wait_until(delivered, 60.0)


def _each_once_or_the_same_again(receiver: Receiver, keys: set[str]) -> None:
    """A repeat carries the key and the body of the first."""
    assert set(receiver.keys()) == keys
    assert len({(got.key, got.body) for got in receiver.got}) == len(keys)
    assert max(Counter(receiver.keys()).values()) <= 10
