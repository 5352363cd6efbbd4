"""Runs ingest for tests, and calls it as its clients do."""

from __future__ import annotations

import io
import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import nats
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1.admin_service_pb2_grpc import AdminServiceStub
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SOURCE, SourceDefined
from onefold.ingest.v1.ingest_service_pb2 import (
    IngestEventsRequest,
    ListQuarantinedRequest,
    Quarantined,
)
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from onefold.type.v1.event_pb2 import EVENT_TYPE_TRACK, Event
from onefold.type.v1.source_trust_pb2 import SOURCE_TRUST_SERVER
from service_fixtures import BUS_KEY, OpenNatsServer, create_database, delete_streams

from services.chassis.access.rights import UNMASK_KEY
from services.chassis.rpc.channel import ServiceChannel, open_channel
from services.devstack.postgres import PostgresServer
from services.ingest.service import Ingest, serve
from services.ingest.settings import IngestSettings
from tests.index_key import INDEX_KEY_TEXT


@dataclass(frozen=True)
class IngestEndpoints:
    """A running ingest, as its clients see it."""

    service: Ingest
    settings: IngestSettings
    #: The key of the source `site`.
    key: str
    #: The key of an administrator.
    admin_key: str
    http: aiohttp.ClientSession
    nats: nats.NATS

    def channel(self, key: str | None = None) -> ServiceChannel:
        """Open a gRPC channel; without `key` with that of the source."""
        url = f"127.0.0.1:{self.service.internal_grpc_port}"
        return open_channel(url, self.key if key is None else key)

    def url(self, path: str) -> str:
        """Return the URL of a path of the HTTP endpoint."""
        return f"http://127.0.0.1:{self.service.http_port}{path}"

    async def ingest(self, *events: Event) -> Any:
        """Send a batch over gRPC."""
        async with self.channel() as channel:
            return await IngestServiceStub(channel).IngestEvents(IngestEventsRequest(events=events))

    async def post(
        self, path: str, body: Any, *, key: str | None = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Send a body over HTTP; return the status and the response."""
        bearer = {"Authorization": f"Bearer {self.key if key is None else key}"}
        sent = {"data": io.BytesIO(body)} if isinstance(body, bytes) else {"json": body}
        async with self.http.post(
            self.url(path), headers={**bearer, **headers}, **sent
        ) as response:
            return response.status, await response.json()

    async def facts(self, message_id: str) -> list[tuple[asyncpg.Record, Event]]:
        """Return the facts of the events with a message id."""
        found = await self.facts_with(message_id)
        return [(row, event) for row, event in found if event.message_id == message_id]

    async def facts_with(self, text: str) -> list[tuple[asyncpg.Record, Event]]:
        """Return the facts of the events that hold a text anywhere, in the order of the log."""
        conn = await asyncpg.connect(self.settings.postgres_dsn.get_secret_value())
        try:
            rows = await conn.fetch(
                "SELECT fact.* FROM ingest.fact JOIN ingest.kind USING (kind_id)"
                " WHERE kind.name = 'onefold.type.v1.Event' AND position($1 IN payload) > 0"
                " ORDER BY recorded_at",
                text.encode(),
            )
        finally:
            await conn.close()
        return [(row, Event.FromString(row["payload"])) for row in rows]

    async def quarantined(self, quarantine_id: str) -> Quarantined:
        """Return one quarantined event, as an administrator sees it."""
        async with self.channel(self.admin_key) as channel:
            listed = await IngestServiceStub(channel).ListQuarantined(
                ListQuarantinedRequest(page_size=1000, include_released=True), metadata=[UNMASKED]
            )
        [entry] = [e for e in listed.entries if e.quarantine_id == quarantine_id]
        return entry


#: With it an administrator sees quarantined bytes as they were sent, whatever they are.
UNMASKED = (UNMASK_KEY, "the test compares what was sent")


@asynccontextmanager
async def run_ingest(
    postgres_server: PostgresServer, nats_server: OpenNatsServer, data_dir: Path, **changes: Any
) -> AsyncIterator[IngestEndpoints]:
    """Run ingest with its own database and its own stream only, with `changes` of its settings."""
    admin = await asyncpg.connect(postgres_server.admin_dsn)
    name = await create_database(admin)
    bus = await nats.connect(nats_server.url)
    await delete_streams(nats_server.url)
    fields: dict[str, Any] = {
        "postgres_dsn": postgres_server.dsn.rpartition("/")[0] + f"/{name}",
        "nats_url": nats_server.url,
        "internal_key": secrets.token_urlsafe(32),
        "bus_key": BUS_KEY,
        "index_key": INDEX_KEY_TEXT,
        # Activation is called for receipts alone.
        "activation_url": "127.0.0.1:1",
        "data_dir": data_dir,
        "clock_advance": "allowed",
        "drain_s": 1.0,
    }
    settings = IngestSettings(**{**fields, **changes})
    async with serve(settings) as service, aiohttp.ClientSession() as http:
        admin_key = (data_dir / "admin.key").read_text().strip()
        key = await make_source(service, admin_key, "site", "web")
        yield IngestEndpoints(service, settings, key, admin_key, http, bus)
    await bus.close()
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


async def make_source(
    service: Ingest,
    admin_key: str,
    source_id: str,
    channel_name: str,
    trust: Any = SOURCE_TRUST_SERVER,
) -> str:
    """Define a source and issue its key."""
    async with open_channel(f"127.0.0.1:{service.internal_grpc_port}", admin_key) as peer:
        stub = AdminServiceStub(peer)
        source = SourceDefined(source_id=source_id, channel=channel_name, trust=trust)
        await stub.DefineSource(admin_pb.DefineSourceRequest(source=source))
        issued = await stub.IssueKey(
            admin_pb.IssueKeyRequest(role=ROLE_SOURCE, source_id=source_id)
        )
    return str(issued.key)


def make_event(**changes: Any) -> Event:
    """Return a valid event with unique ids."""
    event = Event(type=EVENT_TYPE_TRACK, name="Signed Up", message_id=str(uuid.uuid4()))
    event.identifiers.add(namespace="user_id", value=f"u-{uuid.uuid4()}")
    for name, value in changes.items():
        setattr(event, name, value)
    return event


def make_call(**changes: Any) -> dict[str, Any]:
    """Return a valid call of the Segment specification with unique ids."""
    return {
        "type": "track",
        "event": "Signed Up",
        "messageId": str(uuid.uuid4()),
        "userId": f"u-{uuid.uuid4()}",
        **changes,
    }
