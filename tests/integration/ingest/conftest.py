"""Ingest on real engines, with one source and its key, once a module."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from integration.ingest.ingest_endpoints import IngestEndpoints, a_call, an_event, run_ingest

from services.devstack.nats import NatsServer
from services.devstack.postgres import PostgresServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def endpoints(
    postgres_server: PostgresServer,
    nats_server: NatsServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[IngestEndpoints]:
    """A running ingest with a database of its own."""
    async with run_ingest(postgres_server, nats_server, tmp_path_factory.mktemp("i")) as opened:
        yield opened


@pytest.fixture
def make_event() -> Any:
    """`an_event`, for tests."""
    return an_event


@pytest.fixture
def make_call() -> Any:
    """`a_call`, for tests."""
    return a_call
