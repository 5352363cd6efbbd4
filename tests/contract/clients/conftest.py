"""Fixtures: a running ingest, and the existing clients of the Segment specification and NATS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from contract.clients.node_clients import NodeClients, NodeMissing
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


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def node_clients(tmp_path_factory: pytest.TempPathFactory) -> NodeClients:
    """Install the Node clients; skip, with the reason, only where that is impossible."""
    try:
        clients = NodeClients(tmp_path_factory.mktemp("node"))
        await asyncio.to_thread(clients.install)
    except NodeMissing as error:
        pytest.skip(str(error))
    return clients
