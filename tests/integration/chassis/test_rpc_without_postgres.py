"""Calls fail as unavailable while PostgreSQL is down, and succeed when it is back."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest
from onefold.ingest.v1 import ingest_service_pb2 as pb
from onefold.ingest.v1 import ingest_service_pb2_grpc as pb_grpc
from service_fixtures import BUS_KEY, QUICK, wait_until

from services import chassis
from services.chassis.access.authenticator import Authenticator
from services.chassis.access.keys import issue_key
from services.chassis.access.principal import Role
from services.chassis.access.tables import key_loader
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.server import RpcServer
from services.chassis.runtime.settings import ServiceSettings
from services.chassis.runtime.telemetry import Metrics
from services.devstack.postgres import PostgresServer
from services.kernel.errors import StoreUnavailable

SCHEMA = sorted((Path(chassis.__file__).parent / "store" / "migrations").glob("*_access*.sql"))
INGEST = "/onefold.ingest.v1.IngestService/IngestEvents"
SOURCE, OTHER = issue_key(Role.SOURCE), issue_key(Role.SOURCE)
INTERNAL = "the-internal-key-of-this-test"


class Ingest(pb_grpc.IngestServiceServicer):
    """Reads from PostgreSQL."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def IngestEvents(self, request: pb.IngestEventsRequest, context: object) -> object:
        accepted = await self._pool.fetchval("SELECT 1")
        return pb.IngestEventsResponse(accepted=accepted)


async def _pool(server: PostgresServer) -> asyncpg.Pool:
    pool = await asyncpg.create_pool(server.superuser_dsn, min_size=1, max_size=2)
    await pool.execute("".join(file.read_text() for file in SCHEMA))
    for key in (SOURCE, OTHER):
        await pool.execute(
            "INSERT INTO access_key VALUES ($1, $2, 'shop', 1, 'web', 1, false)",
            key.key_hash,
            key.key_id,
        )
    return pool


async def test_call_while_postgresql_is_down_is_unavailable_until_its_restart(
    tmp_path: Path,
) -> None:
    settings = ServiceSettings(
        postgres_dsn="x", nats_url="x", internal_key=INTERNAL, bus_key=BUS_KEY, drain_s=1
    )
    async with PostgresServer(tmp_path, settings=QUICK) as postgres:
        pool = await _pool(postgres)
        authenticator = Authenticator(key_loader(pool), INTERNAL)
        allowed = {INGEST: frozenset({Role.SOURCE})}
        rpc = RpcServer(settings, authenticator, allowed, Metrics("test"))
        rpc.add(pb_grpc.add_IngestServiceServicer_to_server, Ingest(pool))
        async with rpc:

            async def accepted(key: str) -> int:
                async with open_channel(f"127.0.0.1:{rpc.internal_port}", key) as channel:
                    stub = pb_grpc.IngestServiceStub(channel)
                    response = await stub.IngestEvents(pb.IngestEventsRequest())
                    return int(response.accepted)

            async def accepted_or_zero() -> int:
                try:
                    return await accepted(OTHER.key)
                except StoreUnavailable:
                    return 0

            assert await accepted(SOURCE.key) == 1
            await postgres.stop()
            for key in (SOURCE.key, OTHER.key):  # the first is cached, the second is not
                with pytest.raises(StoreUnavailable) as caught:
                    await accepted(key)
                assert caught.value.retry_after == 1.0
            await postgres.start()
            assert await wait_until(accepted_or_zero) == 1
        pool.terminate()
