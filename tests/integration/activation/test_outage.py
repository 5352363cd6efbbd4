"""Tests that no effect is lost while PostgreSQL fails during deliveries."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from aiohttp import web
from integration.activation.ledger_fixture import Ledger, change, hook, open_ledger
from integration.activation.receiver import Receiver
from service_fixtures import QUICK, wait_until

from services.activation.domain.model import DeliveryState
from services.chassis.postgres.database import connect
from services.devstack.postgres import PostgresServer
from services.kernel.errors import StoreUnavailable
from services.kernel.ids import to_hex

PROFILES = 600


@pytest_asyncio.fixture(loop_scope="session")
async def server(tmp_path: Path) -> AsyncIterator[PostgresServer]:
    """A PostgreSQL that the test may kill; it is restarted."""
    async with PostgresServer(tmp_path, settings=QUICK) as opened:
        watching = asyncio.create_task(opened.watch())
        yield opened
    await watching


async def test_lost_connections_lose_no_effect(ledger: Ledger, receiver: Receiver) -> None:
    """All connections are terminated repeatedly, at any point of their work."""
    to = hook(receiver.url())
    await ledger.define(to)
    effects = await ledger.add([change(n) for n in range(PROFILES)], to)
    killer = await connect(ledger.dsn, schema="public")
    terminate = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    async with ledger.dispatching(lease_s=2.0):
        for share in range(1, 9):
            expected = share * PROFILES // 10
            await wait_until(lambda: len(receiver.received) >= expected)  # noqa: B023 - runs at once
            await killer.execute(terminate)
        await killer.close()
        await _all_delivered(ledger)
    _check_repeats_are_equal(receiver, {to_hex(e.effect_id) for e in effects})


async def test_killed_server_loses_no_effect(server: PostgresServer, receiver: Receiver) -> None:
    async def respond(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0)
        return web.Response()

    receiver.script = [respond]
    to = hook(receiver.url())
    async with open_ledger(server.superuser_dsn) as ledger:
        await ledger.define(to)
        effects = await ledger.add([change(n) for n in range(PROFILES)], to)
        async with ledger.dispatching(lease_s=2.0):
            await wait_until(lambda: len(receiver.received) > PROFILES // 4)
            killed = server.pid
            os.kill(killed, signal.SIGKILL)
            await wait_until(lambda: server.pid != killed)
            await _all_delivered(ledger)
    _check_repeats_are_equal(receiver, {to_hex(e.effect_id) for e in effects})


async def _all_delivered(ledger: Ledger) -> None:
    async def delivered() -> bool:
        try:
            return await ledger.states() == {DeliveryState.DELIVERED.name: PROFILES}
        except StoreUnavailable:
            return False

    await wait_until(delivered)


def _check_repeats_are_equal(receiver: Receiver, keys: set[str]) -> None:
    """Check that every effect was sent, and that repeats have the same key and body."""
    assert set(receiver.keys()) == keys
    assert len({(each.key, each.body) for each in receiver.received}) == len(keys)
    assert max(Counter(receiver.keys()).values()) <= 10
