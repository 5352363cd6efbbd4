"""Runs all five services in this process, called with keys through the public API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from integration.whole.chain import SERVICES
from onefold.activation.v1 import activation_facts_pb2 as activation_facts
from onefold.activation.v1.activation_service_pb2 import Delivery, ListDeliveriesRequest
from onefold.identity.v1.identity_service_pb2 import LookupProfilesRequest
from onefold.ingest.v1.admin_service_pb2 import (
    CreateWorkspaceRequest,
    DefineSourceRequest,
    IssueKeyRequest,
)
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SERVICE, ROLE_SOURCE, SourceDefined
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.segment.v1.segment_service_pb2 import ListMembersRequest
from onefold.type.v1 import event_pb2
from onefold.type.v1.identifier_pb2 import Identifier
from onefold.type.v1.source_trust_pb2 import SOURCE_TRUST_SERVER
from onefold.type.v1.token_pb2 import Token
from service_fixtures import MakeSettings, wait_until

from services.cli.commands.rebuild import REBUILT
from services.client.client import ApiEndpoints, Client
from services.client.text import parse_identifier

SHARDS = 2
_WORKSPACES = count(1)
_IN_PROGRESS = (activation_facts.DELIVERY_STATE_PENDING, activation_facts.DELIVERY_STATE_UNKNOWN)
_EVENT_TYPES = {"alias": event_pb2.EVENT_TYPE_ALIAS, "identify": event_pb2.EVENT_TYPE_IDENTIFY}


def identifier(text: str, *, verified: bool = False) -> Identifier:
    """Return the identifier of NAMESPACE:VALUE."""
    parsed = parse_identifier(text)
    parsed.verified = verified
    return parsed


@dataclass
class WholeSystem:
    """A running system, and a client for each role."""

    admin: Client
    service: Client
    source: Client
    internal: Client
    #: The running services, in the order in which an event passes them.
    names: Sequence[str]
    #: By service: its gRPC endpoint for clients of other systems.
    public_urls: Mapping[str, str]
    #: Opens a client with a key until the system ends.
    open_client: Callable[[str], Awaitable[Client]]
    workspace_id: str = "default"

    def __post_init__(self) -> None:
        self._messages = count()

    async def new_workspace(self) -> WholeSystem:
        """Return this system as keys of a new workspace see it: tests can share its processes."""
        workspace_id = f"w{next(_WORKSPACES)}"
        request = CreateWorkspaceRequest(workspace_id=workspace_id, title=workspace_id)
        admin_key = (await self.internal.admin.CreateWorkspace(request)).admin_key
        return await self.of_workspace(workspace_id, admin_key)

    async def of_workspace(self, workspace_id: str, admin_key: str) -> WholeSystem:
        """Return this system with a source `web` and a key of each role in a workspace."""
        admin = await self.open_client(admin_key)
        source = SourceDefined(source_id="web", title="Web", trust=SOURCE_TRUST_SERVER)
        await admin.admin.DefineSource(DefineSourceRequest(source=source))
        requests = [
            IssueKeyRequest(role=ROLE_SERVICE, title="t"),
            IssueKeyRequest(role=ROLE_SOURCE, source_id="web", title="t"),
        ]
        keys = [(await admin.admin.IssueKey(request)).key for request in requests]
        service, source_client = [await self.open_client(key) for key in keys]
        found = replace(
            self, admin=admin, service=service, source=source_client, workspace_id=workspace_id
        )
        await found.drain()
        return found

    async def send(
        self, name: str, *names: str, at_us: int = 0, message_id: str = "", verified: bool = False
    ) -> None:
        """Send one event with these identifiers: an `alias`, an `identify`, or a track event."""
        event = event_pb2.Event(
            type=_EVENT_TYPES.get(name, event_pb2.EVENT_TYPE_TRACK),
            name="" if name in _EVENT_TYPES else name,
            message_id=message_id or f"m-{next(self._messages)}",
            identifiers=[identifier(each, verified=verified) for each in names],
            occurred_at_us=at_us,
        )
        response = await self.source.ingest.IngestEvents(IngestEventsRequest(events=[event]))
        assert not response.rejections, response.rejections

    async def now_us(self) -> int:
        """Return the log's clock."""
        return (await self.internal.log.GetHead(log_pb.GetHeadRequest())).now_us

    async def drain(self) -> Token:
        """Wait until every service has folded the log, and finished the work this caused."""
        for _ in range(3):
            ticked = await self.internal.log.TickClock(log_pb.TickClockRequest())
            for service in self.names[1:]:
                request = projection_pb.AwaitTokenRequest(token=ticked.token)
                await self.internal.projection(service).AwaitToken(request)
        return ticked.token

    async def profiles(self, *names: str, purpose: str = "") -> list[str]:
        """Return the profile of each identifier."""
        request = LookupProfilesRequest(identifiers=map(identifier, names), purpose=purpose)
        return list((await self.service.identity.LookupProfiles(request)).profile_ids)

    async def members(self, segment_id: str) -> set[str]:
        """Return the profiles in a segment."""
        request = ListMembersRequest(segment_id=segment_id, page_size=1_000)
        response = await self.service.segment.ListMembers(request)
        return {member.profile_id for member in response.members}

    async def digests(self) -> dict[str, dict[str, str]]:
        """Return the digests by projection and workspace, once everything is folded."""
        await self.drain()
        found = {}
        for service in (name for name in self.names if name in REBUILT):
            projection = self.internal.projection(service)
            response = await projection.GetDigest(projection_pb.GetDigestRequest())
            found[service] = dict(response.digests)
        return found

    async def deliveries(self, destination_id: str) -> list[Delivery]:
        """Return the effects of a destination, newest first, once none is in progress."""
        await self.drain()
        request = ListDeliveriesRequest(destination_id=destination_id, page_size=1_000)

        async def finished() -> list[list[Delivery]]:
            found = list((await self.service.activation.ListDeliveries(request)).deliveries)
            return [] if any(each.state in _IN_PROGRESS for each in found) else [found]

        (found,) = await wait_until(finished)
        return found


@asynccontextmanager
async def whole_system(
    make_settings: MakeSettings,
    key: str,
    data: Path,
    *names: str,
    tick_interval_s: float = 1.0,
    private_targets: str = "",
) -> AsyncIterator[WholeSystem]:
    """Run the system, or the first services of it, with a source `web` and a key of each role.

    `private_targets`: see the settings of activation.
    """
    async with AsyncExitStack() as scope:
        urls: dict[str, str] = {}
        public_urls: dict[str, str] = {}
        events_url = ""
        for name, (serve, settings_type) in SERVICES.items():
            if names and name not in names:
                continue
            more: dict[str, Any] = {}
            if name == "ingest":
                more = {"tick_interval_s": tick_interval_s, "clock_advance": "allowed"}
            elif name == "activation":
                more = {"private_targets": private_targets}
            settings = make_settings(
                settings_type,
                shards=SHARDS,
                call_timeout_s=60.0,
                **{f"{other}_url": url for other, url in urls.items()},
                **more,
            )
            endpoints = await scope.enter_async_context(serve(settings))
            urls[name] = f"127.0.0.1:{endpoints.internal_grpc_port}"
            public_urls[name] = f"127.0.0.1:{endpoints.grpc_port}"
            if name == "ingest":
                events_url = f"http://127.0.0.1:{endpoints.http_port}"

        async def client(of: str) -> Client:
            endpoints = ApiEndpoints(grpc=urls, key=of, events_url=events_url)
            return await scope.enter_async_context(Client(endpoints))

        internal = await client(key)
        bare = WholeSystem(
            *(internal, internal, internal, internal),
            names=list(urls),
            public_urls=public_urls,
            open_client=client,
        )
        yield await bare.of_workspace("default", (data / "admin.key").read_text("utf-8").strip())
