"""All floods of strangers at once: honest clients lose nothing, and nothing of theirs is refused.

How much longer they wait is measured by `./onefold bench floods`.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from integration.ingest.ingest_endpoints import make_event
from onefold.ingest.v1 import ingest_service_pb2 as ingest_pb
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from service_fixtures import OpenNatsServer, wait_until

from services.chassis.rpc.channel import open_channel
from services.devstack.stack import DSN, NATS_URL
from tests.security.flooded_ingest import FloodedIngest, flooded_ingest, stored
from tests.security.floods import pause

#: How long the honest client sends at a time, seconds.
ROUND_S = 1.5
#: Within this time the floods meet the limits, on a machine of whatever speed.
LIMITS_MET_S = 90.0
#: The calls of the honest client of gRPC, each on a connection of its own.
GRPC_CALLS, GRPC_EVERY_S, GRPC_TIMEOUT_S = 50, 0.06, 60.0


@pytest_asyncio.fixture(loop_scope="session")
async def ingest(
    database: str, nats_server: OpenNatsServer, tmp_path: Path
) -> AsyncIterator[FloodedIngest]:
    settings = {DSN: database, NATS_URL: nats_server.url}
    async with flooded_ingest(tmp_path, settings) as flooded:
        yield flooded


async def test_honest_client_loses_nothing_and_is_never_refused_while_all_floods_run(
    ingest: FloodedIngest, database: str
) -> None:
    async def limits_are_met() -> bool:
        if (await ingest.metrics())["onefold_ingest_quarantine_refused_total"] == 0:
            return False
        return await ingest.has_cut_off("http", "HEAD_TOO_LARGE", "CONNECTIONS")

    async with ingest.honest_client() as client, ingest.floods() as floods:
        await floods.command("start")
        await client.send_for(ROUND_S)
        await wait_until(limits_are_met, LIMITS_MET_S)
        await client.send_for(ROUND_S)
        await floods.command("stop")

    assert not client.refused
    assert await stored(database, client.mark) == client.sent


async def send_over_grpc(ingest: FloodedIngest, mark: str) -> None:
    """Send one event on a new connection. Raises OnefoldError."""
    event = ingest_pb.IngestEventsRequest(events=[make_event(name=mark)])
    url = ingest.stack.public_address("ingest")
    async with open_channel(url, ingest.keys["server"], timeout_s=GRPC_TIMEOUT_S) as channel:
        response = await IngestServiceStub(channel).IngestEvents(event)
    assert response.accepted == 1


async def test_clients_of_grpc_connect_and_call_while_strangers_hold_connections_and_flood(
    ingest: FloodedIngest, database: str
) -> None:
    # The silent connections are too many, and the calls are refused too often.
    async def limits_are_met() -> bool:
        return await ingest.has_cut_off("grpc", "ADDRESS", "REFUSALS")

    mark = uuid.uuid4().hex
    await send_over_grpc(ingest, mark)
    async with ingest.floods("tests.security.grpc_floods") as floods:
        await floods.command("start")
        calls = []
        for _ in range(GRPC_CALLS):
            calls.append(asyncio.create_task(send_over_grpc(ingest, mark)))
            await pause(GRPC_EVERY_S)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        await wait_until(limits_are_met, LIMITS_MET_S)
        await floods.command("stop")

    assert [each for each in outcomes if each is not None] == []
    assert await stored(database, mark) == GRPC_CALLS + 1
