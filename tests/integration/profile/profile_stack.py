"""Runs ingest, identity and profile on real servers, with channels into them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from event_logs import append_facts
from laws.profile_model import WORKSPACE, SourceEvent
from onefold.ingest.v1.admin_service_pb2 import CreateWorkspaceRequest
from onefold.ingest.v1.admin_service_pb2_grpc import AdminServiceStub
from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.log.v1.log_pb2 import Fact
from onefold.log.v1.log_service_pb2_grpc import LogServiceStub
from onefold.profile.v1.profile_service_pb2_grpc import ProfileServiceStub
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.projection.v1.projection_service_pb2_grpc import ProjectionServiceStub
from rebuilds import rebuild
from service_fixtures import MakeSettings

from services.chassis.codec.fields import token_from_proto, token_to_proto
from services.chassis.rpc.channel import open_channel
from services.identity.service import serve as serve_identity
from services.identity.settings import IdentitySettings
from services.ingest.log import EventLog
from services.ingest.service import serve as serve_ingest
from services.ingest.settings import IngestSettings
from services.profile.service import serve as serve_profile
from services.profile.settings import ProfileSettings


@dataclass
class ProfileStack:
    """The stubs of the three services."""

    event_log: EventLog
    #: Where clients send events, `host:port`.
    events_address: str
    #: Where clients of profile call, `host:port`.
    profile_address: str
    #: Called with an admin key.
    admin: Any
    log: Any
    #: Called with an admin key.
    profile: Any
    #: Called as another service.
    internal: Any
    projection: Any
    #: The state of the log after all appends.
    token: Any = None

    async def append(self, facts: Iterable[Fact]) -> Any:
        """Append facts, and return the state after them alone; a call waits for all of `token`."""
        appended = await append_facts(self.event_log, list(facts)) or self.token
        # The offsets of an append are those of the shards that it wrote to.
        both = token_from_proto(self.token).union(token_from_proto(appended))
        self.token = token_to_proto(both)
        return appended

    async def ingest(self, events: Iterable[SourceEvent]) -> None:
        """Append the facts of events, tick, and wait until profile has folded them."""
        await self.append(fact for event in events for fact in event.facts())
        await self.tick()

    async def tick(self, advance_us: int = 0) -> int:
        """Let time pass, wait until profile has folded the tick, and return the log's clock."""
        response = await self.log.TickClock(log_pb.TickClockRequest(advance_us=advance_us))
        self.token = response.token
        await self.reach()
        return int(response.now_us)

    async def reach(self) -> None:
        """Wait until profile has folded everything that was appended."""
        await self.projection.AwaitToken(projection_pb.AwaitTokenRequest(token=self.token))

    async def rebuild(self, **options: object) -> projection_pb.RebuildResponse:
        """Rebuild profile's state and return the last response."""
        return await rebuild(self.projection, **options)


@asynccontextmanager
async def profile_stack(
    make_settings: MakeSettings, internal_key: str, workspace_id: str = WORKSPACE
) -> AsyncIterator[ProfileStack]:
    async with AsyncExitStack() as scope:

        async def start(serve: Any, kind: Any, **fields: Any) -> tuple[Any, str]:
            settings = make_settings(kind, shards=3, call_timeout_s=60.0, **fields)
            endpoints = await scope.enter_async_context(serve(settings))
            return endpoints, f"127.0.0.1:{endpoints.internal_grpc_port}"

        async def channel(url: str, key: str = internal_key) -> Any:
            opened = open_channel(url, key, workspace_id=workspace_id, timeout_s=60.0)
            return await scope.enter_async_context(opened)

        running, ingest = await start(
            serve_ingest, IngestSettings, tick_interval_s=1.0, clock_advance="allowed"
        )
        _, identity = await start(serve_identity, IdentitySettings, ingest_url=ingest)
        profile_endpoints, profile = await start(
            serve_profile, ProfileSettings, ingest_url=ingest, identity_url=identity
        )
        request = CreateWorkspaceRequest(workspace_id=workspace_id)
        created = await AdminServiceStub(await channel(ingest)).CreateWorkspace(request)
        admin_channel = await channel(profile, created.admin_key)
        admin = AdminServiceStub(await channel(ingest, created.admin_key))
        profile_channel = await channel(profile)
        stack = ProfileStack(
            running.event_log,
            f"127.0.0.1:{running.grpc_port}",
            f"127.0.0.1:{profile_endpoints.grpc_port}",
            admin,
            LogServiceStub(await channel(ingest)),
            ProfileServiceStub(admin_channel),
            ProfileServiceStub(profile_channel),
            ProjectionServiceStub(profile_channel),
            created.token,
        )
        await stack.reach()
        yield stack
