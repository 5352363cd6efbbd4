"""Calls the running system of a demo: the clock, members, profiles and rebuilds."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from onefold.identity.v1.identity_service_pb2 import LookupProfilesRequest
from onefold.ingest.v1.admin_service_pb2 import IssueKeyRequest
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SOURCE
from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.projection.v1.projection_service_pb2 import RebuildRequest
from onefold.segment.v1 import segment_service_pb2 as segment_pb
from onefold.type.v1.identifier_pb2 import Identifier

from services import SERVICES
from services.cli.commands.rebuild import REBUILT, request_rebuild
from services.cli.demo.report import DemoReport
from services.client.api import pages
from services.client.client import ApiEndpoints, Client
from services.devstack.stack import Stack

WAIT_S = 120.0
LOOKUPS = 1_000


class DemoSystem:
    """A running stack with the clients of an administrator and of its services."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.client = Client(self._endpoints(stack.admin_key))
        self.internal = Client(self._endpoints(stack.internal_key))

    async def __aenter__(self) -> Self:
        await self.client.__aenter__()
        await self.internal.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.internal.__aexit__(kind, error, trace)
        await self.client.__aexit__(kind, error, trace)

    def _endpoints(self, key: str) -> ApiEndpoints:
        return ApiEndpoints(grpc={s: self.stack.address(s) for s in SERVICES}, key=key)

    async def issue_key(self, source_id: str) -> str:
        """Return a new write key of a source."""
        request = IssueKeyRequest(role=ROLE_SOURCE, source_id=source_id, title="demo")
        return (await self.client.admin.IssueKey(request)).key

    async def advance_clock(self, span_us: int) -> int:
        """Move the clock, wait until every service has folded it, and return the log's time."""
        tick = await self.client.log.TickClock(log_pb.TickClockRequest(advance_us=span_us))
        await self.internal.await_token(tick.token, WAIT_S)
        return tick.now_us

    async def profiles_of(self, names: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Return the profile of each identifier that has one."""
        found: dict[tuple[str, str], str] = {}
        for start in range(0, len(names), LOOKUPS):
            batch = names[start : start + LOOKUPS]
            identifiers = [Identifier(namespace=n, value=v) for n, v in batch]
            request = LookupProfilesRequest(identifiers=identifiers)
            profile_ids = (await self.client.identity.LookupProfiles(request)).profile_ids
            found |= {name: id_ for name, id_ in zip(batch, profile_ids, strict=True) if id_}
        return found

    async def members(self, segment_id: str, as_of_us: int) -> list[str]:
        """Return the profiles in a segment, a value of a tag or a stage at an instant."""
        request = segment_pb.ListMembersRequest(
            segment_id=segment_id, page_size=1_000, as_of_us=as_of_us
        )
        return [
            member.profile_id
            async for page in pages(self.client.segment.ListMembers, request)
            for member in page.members
        ]

    async def check_rebuilds(self, report: DemoReport) -> None:
        """Rebuild every projection beside the live one, in its own shards and in one."""
        head = await self.internal.log.GetHead(log_pb.GetHeadRequest())
        for service in REBUILT:
            for shards in (0, 1):
                rebuild = RebuildRequest(shards=shards)
                result = await request_rebuild(self.internal, service, rebuild)
                digest = result.rebuilt_digests.get("default", "")
                count = shards or len(head.token.offsets)
                in_shards = f"{count} shard{'s' * (count > 1)}"
                report.rebuilds.append((service, in_shards, digest, result.equal))
                report.expect(result.equal, f"{service}: the rebuilt digest differs")
