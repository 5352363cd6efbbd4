"""Fixtures of activation: an empty ledger, and a receiver."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio
from integration.activation.journey_fixture import EMPTY, JourneyBench
from integration.activation.ledger_fixture import Ledger, open_ledger
from integration.activation.receiver import Receiver, receiving
from integration.activation.running_activation import RunningActivation, activation
from service_fixtures import MakeSettings, create_database

from services.devstack.postgres import PostgresServer


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that responds with 200 until a test sets a script."""
    async with receiving() as opened:
        yield opened


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def session_ledger(postgres_server: PostgresServer) -> AsyncIterator[Ledger]:
    """The ledger of this folder's tests, for a log of 4 shards."""
    admin = await asyncpg.connect(postgres_server.admin_dsn)
    try:
        name = await create_database(admin)
        async with open_ledger(postgres_server.dsn.rpartition("/")[0] + f"/{name}") as opened:
            yield opened
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@pytest_asyncio.fixture(loop_scope="session")
async def ledger(session_ledger: Ledger) -> Ledger:
    """The ledger, empty."""
    await session_ledger.database.pool.execute(EMPTY)
    return session_ledger


@pytest_asyncio.fixture(loop_scope="session")
async def whole(
    make_settings: MakeSettings, nats_url: str, receiver: Receiver
) -> AsyncIterator[RunningActivation]:
    async with activation(make_settings, nats_url, private_targets=receiver.target) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def bench(ledger: Ledger) -> JourneyBench:
    """Journeys over an empty store."""
    return JourneyBench(ledger)
