"""All five services in this process, called through their doors with keys, as a customer does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from integration.whole.chain import KINDS
from onefold.activation.v1 import activation_facts_pb2 as activation_facts
from onefold.activation.v1 import activation_service_pb2 as activation_pb
from onefold.identity.v1 import identity_service_pb2 as identity_pb
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SERVICE, ROLE_SOURCE, SourceDefined
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.segment.v1 import segment_service_pb2 as segment_pb
from onefold.type.v1 import event_pb2
from onefold.type.v1.identifier_pb2 import Identifier

from services.chassis.testing import MakeSettings, wait_until
from services.cli.client import Client
from services.cli.endpoints import Doors

SHARDS = 2
_ON_THEIR_WAY = (
    activation_facts.DELIVERY_STATE_PENDING,
    activation_facts.DELIVERY_STATE_UNKNOWN,
)


def identifier(told: str, *, verified: bool = False) -> Identifier:
    """Of NAMESPACE:VALUE."""
    namespace, _, value = told.partition(":")
    return Identifier(namespace=namespace, value=value, verified=verified)


@dataclass
class Whole:
    """A running system, and who calls it."""

    admin: Client
    service: Client
    source: Client
    internal: Client
    #: The services that run, in the order of the flow.
    names: Sequence[str]

    def __post_init__(self) -> None:
        self._messages = count()

    async def send(
        self, name: str, *named: str, at_us: int = 0, message_id: str = "", verified: bool = False
    ) -> None:
        """One event with these identifiers; `alias` and `identify` are what they are called."""
        kinds = {"alias": event_pb2.EVENT_TYPE_ALIAS, "identify": event_pb2.EVENT_TYPE_IDENTIFY}
        event = event_pb2.Event(
            type=kinds.get(name, event_pb2.EVENT_TYPE_TRACK),
            name="" if name in kinds else name,
            message_id=message_id or f"m-{next(self._messages)}",
            identifiers=[identifier(told, verified=verified) for told in named],
            occurred_at_us=at_us,
        )
        request = IngestEventsRequest(events=[event])
        answer = await self.source.call(self.source.ingest.IngestEvents, request)
        assert not answer.rejections, answer.rejections

    async def now_us(self) -> int:
        """The log's clock."""
        request = log_pb.GetHeadRequest()
        return int((await self.internal.call(self.internal.log.GetHead, request)).now_us)

    async def rest(self) -> Any:
        """Every service has taken in the log, and all that this asked for; the token."""
        for _ in range(3):
            request = log_pb.TickClockRequest()
            ticked = await self.internal.call(self.internal.log.TickClock, request)
            for service in self.names[1:]:
                await_ = projection_pb.AwaitTokenRequest(token=ticked.token)
                await self.internal.call(self.internal.projection(service).AwaitToken, await_)
        return ticked.token

    async def profiles(self, *named: str, **fields: Any) -> list[str]:
        """The profile of each identifier."""
        request = identity_pb.LookupProfilesRequest(identifiers=map(identifier, named), **fields)
        answer = await self.service.call(self.service.identity.LookupProfiles, request)
        return list(answer.profile_ids)

    async def members(self, segment_id: str) -> set[str]:
        """The profiles in a segment."""
        request = segment_pb.ListMembersRequest(segment_id=segment_id, page_size=1_000)
        answer = await self.service.call(self.service.segment.ListMembers, request)
        return {member.profile_id for member in answer.members}

    async def digests(self) -> dict[str, dict[str, str]]:
        """By projection and workspace, at rest."""
        await self.rest()
        found = {}
        for service in (n for n in self.names if n in ("identity", "profile", "segment")):
            stub = self.internal.projection(service)
            answer = await self.internal.call(stub.GetDigest, projection_pb.GetDigestRequest())
            found[service] = dict(answer.digests)
        return found

    async def deliveries(self, destination_id: str) -> list[Any]:
        """The effects of a destination, newest first, once none of them is on its way."""
        await self.rest()
        request = activation_pb.ListDeliveriesRequest(
            destination_id=destination_id, page_size=1_000
        )

        async def ended() -> list[Any] | None:
            answer = await self.service.call(self.service.activation.ListDeliveries, request)
            waits = [d for d in answer.deliveries if d.state in _ON_THEIR_WAY]
            return None if waits else [list(answer.deliveries)]

        (found,) = await wait_until(ended) or ()
        return list(found)


@asynccontextmanager
async def whole(
    make_settings: MakeSettings, key: str, data: Path, *names: str, tick_interval_s: float = 0.2
) -> AsyncIterator[Whole]:
    """The system, or the first services of it, with a source `web` and a key of each role."""
    ticking = {"tick_interval_s": tick_interval_s, "clock_advance": "allowed"}
    async with AsyncExitStack() as scope:
        urls: dict[str, str] = {}
        for name, (serve, kind) in KINDS.items():
            if names and name not in names:
                continue
            more: dict[str, Any] = ticking if name == "ingest" else {}
            settings = make_settings(
                kind,
                shards=SHARDS,
                call_timeout_s=60.0,
                **{f"{other}_url": url for other, url in urls.items()},
                **more,
            )
            doors = await scope.enter_async_context(serve(settings))
            urls[name] = f"127.0.0.1:{doors.grpc_port}"

        async def client(of: str) -> Client:
            return await scope.enter_async_context(Client(Doors(urls, {}, of)))

        admin = await client((data / "admin.key").read_text("utf-8").strip())
        source = SourceDefined(source_id="web", title="Web")
        await admin.call(admin.admin.DefineSource, admin_pb.DefineSourceRequest(source=source))
        keys = [
            admin_pb.IssueKeyRequest(role=ROLE_SOURCE, source_id="web", title="t"),
            admin_pb.IssueKeyRequest(role=ROLE_SERVICE, title="t"),
        ]
        web, service = [(await admin.call(admin.admin.IssueKey, k)).key for k in keys]
        callers = [await client(each) for each in (service, web, key)]
        made = Whole(admin, *callers, names=list(urls))
        await made.rest()
        yield made
