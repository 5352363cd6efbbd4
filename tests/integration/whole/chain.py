"""Runs all five services on one database; each of them can be stopped for a while."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import nats
from event_logs import append_facts
from laws.profile_model import WORKSPACE
from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.log.v1.log_pb2 import Fact
from onefold.log.v1.log_service_pb2_grpc import LogServiceStub
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.projection.v1.projection_service_pb2_grpc import ProjectionServiceStub
from rebuilds import rebuild
from service_fixtures import MakeSettings

from services.activation.service import serve as serve_activation
from services.activation.settings import ActivationSettings
from services.chassis.rpc.channel import open_channel
from services.identity.service import serve as serve_identity
from services.identity.settings import IdentitySettings
from services.ingest.service import serve as serve_ingest
from services.ingest.settings import IngestSettings
from services.profile.service import serve as serve_profile
from services.profile.settings import ProfileSettings
from services.segment.service import serve as serve_segment
from services.segment.settings import SegmentSettings

SHARDS = 3
#: By service: how it is run, and its settings.
SERVICES: dict[str, tuple[Any, Any]] = {
    "ingest": (serve_ingest, IngestSettings),
    "identity": (serve_identity, IdentitySettings),
    "profile": (serve_profile, ProfileSettings),
    "segment": (serve_segment, SegmentSettings),
    "activation": (serve_activation, ActivationSettings),
}
PROJECTIONS = ("identity", "profile", "segment", "activation")


class Chain:
    """The running services, in the order in which an event passes them."""

    def __init__(self, make_settings: MakeSettings, key: str, dsn: str, nats_url: str) -> None:
        self.dsn = dsn
        self._make_settings = make_settings
        self._key = key
        self._nats_url = nats_url
        self._scopes: dict[str, AsyncExitStack] = {}
        self._urls: dict[str, str] = {}
        self._ready: dict[str, str] = {}
        self._stubs: dict[str, Any] = {}
        self._token: Any = None

    async def start(self, name: str) -> None:
        serve, settings_type = SERVICES[name]
        more: dict[str, Any] = {"tick_interval_s": 1.0} if name == "ingest" else {}
        if name in self._urls:
            # A service that is started again has the same address.
            more["internal_grpc_port"] = int(self._urls[name].rpartition(":")[2])
        settings = self._make_settings(
            settings_type,
            postgres_dsn=self.dsn,
            shards=SHARDS,
            call_timeout_s=60.0,
            **{f"{other}_url": url for other, url in self._urls.items()},
            **more,
        )
        scope = self._scopes[name] = AsyncExitStack()
        endpoints = await scope.enter_async_context(serve(settings))
        if name == "ingest":
            self._event_log = endpoints.event_log
        self._ready[name] = f"http://127.0.0.1:{endpoints.internal_http_port}/readyz"
        self._urls[name] = f"127.0.0.1:{endpoints.internal_grpc_port}"
        channel = await scope.enter_async_context(
            open_channel(self._urls[name], self._key, workspace_id=WORKSPACE, timeout_s=60.0)
        )
        self._stubs[name] = (LogServiceStub if name == "ingest" else ProjectionServiceStub)(channel)

    async def stop(self, name: str) -> None:
        await self._scopes.pop(name).aclose()

    async def stop_all(self) -> None:
        for name in reversed(list(self._scopes)):
            await self.stop(name)

    async def append(self, facts: Iterable[Fact], known_us: int = 0) -> None:
        """Append facts, and a tick of the clock after them."""
        facts = list(facts)
        if facts:
            await append_facts(self._event_log, facts)
        self._token = (await self._stubs["ingest"].TickClock(log_pb.TickClockRequest())).token

    async def reach(self, *names: str) -> None:
        """Wait until services have folded the appended facts. Raises TokenNotReached."""
        for name in names:
            request = projection_pb.AwaitTokenRequest(token=self._token)
            await self._stubs[name].AwaitToken(request)

    async def is_stalled(self, name: str) -> bool:
        """Return whether shards of a service are stalled."""
        return "StalledShards" in await asyncio.to_thread(_get, self._ready[name])

    async def drain(self) -> None:
        """Wait until every service has folded the log, and finished the work this caused."""
        for _ in range(3):
            await self.append(())
            await self.reach(*PROJECTIONS)

    async def digests(self) -> dict[str, dict[str, str]]:
        found = {}
        for name in PROJECTIONS[:3]:
            response = await self._stubs[name].GetDigest(projection_pb.GetDigestRequest())
            found[name] = dict(response.digests)
        return found

    async def rebuild(self, name: str, *, resync: bool = False) -> projection_pb.RebuildResponse:
        """Rebuild a service, and return the last response."""
        # A read is retried until a restarted service can be reached; a rebuild is not.
        await self._stubs[name].GetStatus(projection_pb.GetStatusRequest())
        return await rebuild(self._stubs[name], resync=resync)

    def projection(self, name: str) -> Any:
        """Return the calls about the state of a service."""
        return self._stubs[name]

    async def expire_outputs(self, name: str) -> None:
        """Delete all but the newest message from a service's outbox and stream."""
        await self.query(
            f"DELETE FROM {name}.outbox o WHERE first <"
            f" (SELECT max(first) FROM {name}.outbox WHERE shard = o.shard)"
        )
        connection = await nats.connect(self._nats_url)
        await connection.jetstream().purge_stream(f"ONEFOLD_{name.upper()}", keep=1)
        await connection.close()

    async def query(self, sql: str) -> list[Any]:
        conn = await asyncpg.connect(self.dsn)
        try:
            return list(await conn.fetch(sql))
        finally:
            await conn.close()


@asynccontextmanager
async def chain(
    make_settings: MakeSettings, key: str, dsn: str, nats_url: str
) -> AsyncIterator[Chain]:
    """Run all services."""
    made = Chain(make_settings, key, dsn, nats_url)
    try:
        for name in SERVICES:
            await made.start(name)
        yield made
    finally:
        await made.stop_all()


def _get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()
