"""Ingest on real engines, with one source and its key, once a module."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from integration.ingest.ingest_doors import Doors, a_call, an_event, open_doors

from services.devstack.nats import NatsServer
from services.devstack.postgres import PostgresServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def doors(
    postgres_server: PostgresServer,
    nats_server: NatsServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Doors]:
    """A running ingest with a database of its own."""
    async with open_doors(postgres_server, nats_server, tmp_path_factory.mktemp("i")) as opened:
        yield opened


@pytest.fixture
def make_event() -> Any:
    """`an_event`, for tests."""
    return an_event


@pytest.fixture
def make_call() -> Any:
    """`a_call`, for tests."""
    return a_call
