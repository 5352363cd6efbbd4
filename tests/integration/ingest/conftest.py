"""Fixtures: ingest on real servers, with one source and its key, once a module."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from integration.ingest import ingest_endpoints
from integration.ingest.ingest_endpoints import IngestEndpoints, run_ingest
from service_fixtures import OpenNatsServer

from services.devstack.postgres import PostgresServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def endpoints(
    postgres_server: PostgresServer,
    nats_server: OpenNatsServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[IngestEndpoints]:
    """Run ingest with its own database."""
    async with run_ingest(postgres_server, nats_server, tmp_path_factory.mktemp("i")) as running:
        yield running


@pytest.fixture
def make_event() -> Any:
    """Return the function `make_event`."""
    return ingest_endpoints.make_event


@pytest.fixture
def make_call() -> Any:
    """Return the function `make_call`."""
    return ingest_endpoints.make_call
