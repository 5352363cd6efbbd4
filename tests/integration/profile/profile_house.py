"""Ingest, identity and profile put together on real engines, and the channels into them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from laws.profile_world import WORKSPACE
from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.log.v1.log_pb2 import Fact
from onefold.log.v1.log_service_pb2_grpc import LogServiceStub
from onefold.profile.v1.profile_service_pb2_grpc import ProfileServiceStub
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.projection.v1.projection_service_pb2_grpc import ProjectionServiceStub

from services.chassis.rpc.channel import open_channel
from services.chassis.testing import MakeSettings
from services.identity.service import serve as serve_identity
from services.identity.settings import IdentitySettings
from services.ingest.service import serve as serve_ingest
from services.ingest.settings import IngestSettings
from services.profile.service import serve as serve_profile
from services.profile.settings import ProfileSettings


@dataclass
class House:
    """The three services, and stubs that call them."""

    log: Any
    profile: Any
    projection: Any
    #: The state of the log after what was appended last.
    token: Any = None

    async def append(self, facts: Iterable[Fact]) -> Any:
        facts = list(facts)
        for start in range(0, len(facts), 5_000):
            request = log_pb.AppendRequest(facts=facts[start : start + 5_000])
            self.token = (await self.log.Append(request)).token
        return self.token

    async def tick(self, advance_us: int = 0) -> log_pb.TickClockResponse:
        """Let time pass, and wait until profile knows."""
        ticked = await self.log.TickClock(log_pb.TickClockRequest(advance_us=advance_us))
        self.token = ticked.token
        await self.reach()
        return ticked

    async def reach(self) -> None:
        request = projection_pb.AwaitTokenRequest(token=self.token)
        await self.projection.AwaitToken(request)


@asynccontextmanager
async def house(
    make_settings: MakeSettings, internal_key: str, workspace_id: str = WORKSPACE
) -> AsyncIterator[House]:
    async with AsyncExitStack() as scope:

        async def open_(serve: Any, kind: Any, **fields: Any) -> str:
            settings = make_settings(kind, shards=3, call_timeout_s=60.0, **fields)
            doors = await scope.enter_async_context(serve(settings))
            return f"127.0.0.1:{doors.grpc_port}"

        def call(url: str) -> Any:
            return open_channel(url, internal_key, workspace_id=workspace_id, timeout_s=60.0)

        ingest = await open_(
            serve_ingest, IngestSettings, tick_interval_s=0.2, clock_advance="allowed"
        )
        identity = await open_(serve_identity, IdentitySettings, ingest_url=ingest)
        profile = await open_(
            serve_profile, ProfileSettings, ingest_url=ingest, identity_url=identity
        )
        log_channel = await scope.enter_async_context(call(ingest))
        profile_channel = await scope.enter_async_context(call(profile))
        yield House(
            LogServiceStub(log_channel),
            ProfileServiceStub(profile_channel),
            ProjectionServiceStub(profile_channel),
        )
