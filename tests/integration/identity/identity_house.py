"""Identity as a service, beside a log that is served from memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from integration.identity.identity_feed import CUT, Log
from onefold.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from onefold.log.v1.log_pb2 import FactBatch
from onefold.log.v1.log_service_pb2 import ReadResponse
from onefold.log.v1.log_service_pb2_grpc import LogServiceServicer, add_LogServiceServicer_to_server
from onefold.projection.v1.projection_service_pb2_grpc import ProjectionServiceStub
from service_fixtures import MakeSettings

from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.messaging.relay import OutboxRelay
from services.chassis.rpc.channel import open_channel
from services.chassis.runtime.tasks import task_scope
from services.identity.service import serve
from services.identity.settings import IdentitySettings


class LogEndpoint(LogServiceServicer):
    """LogService.Read over a log in memory."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.reads = 0

    async def Read(self, request: Any, context: Any) -> AsyncIterator[ReadResponse]:
        self.reads += 1
        until = request.end_offset or len(self._log.shards[request.shard])
        for first in range(request.from_offset, until, CUT):
            message = self._log.message(request.shard, first, min(first + CUT, until))
            batch = FactBatch.FromString(message.payload)
            if request.kinds:
                wanted = [fact for fact in batch.facts if fact.kind in request.kinds]
                batch = FactBatch(shard=batch.shard, facts=wanted)
            yield ReadResponse(batch=batch)


@dataclass
class RunningIdentity:
    """Identity, and what stands around it."""

    log: Log
    door: LogEndpoint
    relay: OutboxRelay
    identity: Any
    projection: Any
    #: The gRPC door.
    url: str
    #: The HTTP door.
    http: str


@asynccontextmanager
async def log_endpoint(log: Log) -> AsyncIterator[tuple[LogEndpoint, str]]:
    server, door = grpc.aio.server(), LogEndpoint(log)
    add_LogServiceServicer_to_server(door, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield door, f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@asynccontextmanager
async def running_identity(
    make_settings: MakeSettings, internal_key: str, nats_url: str, log: Log, workspace_id: str
) -> AsyncIterator[RunningIdentity]:
    """A running identity, called by another service in the name of a workspace."""
    shards = len(log.shards)
    async with AsyncExitStack() as stack:
        door, ingest_url = await stack.enter_async_context(log_endpoint(log))
        bus = await stack.enter_async_context(JetStreamBus(nats_url, name="test"))
        relay = OutboxRelay(bus, "onefold.log", log)
        for shard in range(shards):
            running = await stack.enter_async_context(task_scope(relay.run_shard(shard)))
            stack.callback(running.cancel)
        settings = make_settings(IdentitySettings, shards=shards, ingest_url=ingest_url)
        doors = await stack.enter_async_context(serve(settings))
        url = f"127.0.0.1:{doors.grpc_port}"
        calls = await stack.enter_async_context(
            open_channel(url, internal_key, workspace_id=workspace_id)
        )
        yield RunningIdentity(
            log,
            door,
            relay,
            IdentityServiceStub(calls),  # type: ignore[no-untyped-call]
            ProjectionServiceStub(calls),  # type: ignore[no-untyped-call]
            url,
            f"http://127.0.0.1:{doors.http_port}",
        )
