"""Fixtures of activation: an empty ledger, and a receiver."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio
from integration.activation.ledger_world import Ledger, open_ledger
from integration.activation.receiver import Receiver, receiving

from services.devstack.postgres import PostgresServer


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that takes everything, until a test says otherwise."""
    async with receiving() as opened:
        yield opened


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def one_ledger(postgres_server: PostgresServer) -> AsyncIterator[Ledger]:
    """A ledger for a log of 4 shards, in a database of this folder's tests."""
    name = f"onefold_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres_server.admin_dsn)
    try:
        await admin.execute(f"CREATE DATABASE {name} OWNER onefold")
        async with open_ledger(postgres_server.dsn.rpartition("/")[0] + f"/{name}") as opened:
            yield opened
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@pytest_asyncio.fixture(loop_scope="session")
async def ledger(one_ledger: Ledger) -> Ledger:
    """The ledger, empty."""
    await one_ledger.database.pool.execute(
        "TRUNCATE effect, destination, access_key, access_source;"
        " UPDATE position SET next = 0, next_output = 0, log_offset = 0, log_time_us = 0"
    )
    return one_ledger
