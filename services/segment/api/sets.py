"""Serves the calls of SegmentService about sets of profiles and snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onefold.segment.v1 import segment_service_pb2 as pb
from onefold.segment.v1 import segment_service_pb2_grpc as pb_grpc

from services.chassis.access.principal import workspace_id
from services.chassis.codec.fields import (
    MAX_PAGE_SIZE,
    PageToken,
    at_least_of,
    page_size_of,
    token_from_proto,
    token_to_proto,
)
from services.chassis.postgres.database import acquire
from services.chassis.projection.runner import ProjectionRunner
from services.kernel.errors import InvalidField
from services.kernel.ids import to_hex
from services.kernel.tokens import Token
from services.segment.codec.sets import expression_from_proto, snapshot_to_proto
from services.segment.commands.snapshots import SnapshotCommands
from services.segment.domain.model import check_segment_id
from services.segment.domain.sets import SNAPSHOT_PREFIX, MemberSnapshot
from services.segment.queries.sets import MemberSets
from services.segment.store.sets import load_snapshots

#: The number of the last profile of a page.
_PAGE_TOKEN = PageToken("I")


@dataclass(eq=False, kw_only=True)
class SetRpc(pb_grpc.SegmentServiceServicer):
    """The calls of onefold.segment.v1.SegmentService about sets of profiles."""

    sets: MemberSets
    snapshots: SnapshotCommands
    runner: ProjectionRunner

    async def ComputeSet(
        self, request: pb.ComputeSetRequest, context: Any
    ) -> pb.ComputeSetResponse:
        expression = expression_from_proto(request.expression)
        if request.page_size > MAX_PAGE_SIZE:
            raise InvalidField(f"page_size is at most {MAX_PAGE_SIZE}", field="page_size")
        after = _after(request.page_token)
        token = await self.runner.reach(at_least_of(request))
        found = await self.sets.page(workspace_id(), expression, after, request.page_size)
        return pb.ComputeSetResponse(
            size=found.size,
            profile_ids=map(to_hex, found.profiles),
            next_page_token="" if found.last is None else _PAGE_TOKEN.encode(found.last),
            token=token_to_proto(token),
        )

    async def OverlapSegments(
        self, request: pb.OverlapSegmentsRequest, context: Any
    ) -> pb.OverlapSegmentsResponse:
        for i, segment_id in enumerate(request.segment_ids):
            check_segment_id(segment_id, f"segment_ids[{i}]")
        token = await self.runner.reach(at_least_of(request))
        rows = await self.sets.overlaps(workspace_id(), request.segment_ids)
        return pb.OverlapSegmentsResponse(
            rows=[
                pb.OverlapRow(segment_id=segment_id, sizes=sizes)
                for segment_id, sizes in zip(request.segment_ids, rows, strict=True)
            ],
            token=token_to_proto(token),
        )

    async def CreateSnapshot(
        self, request: pb.CreateSnapshotRequest, context: Any
    ) -> pb.CreateSnapshotResponse:
        expression = expression_from_proto(request.expression)
        desired = MemberSnapshot(
            workspace_id(), request.name, 0, request.title, expression, Token()
        )
        at = token_from_proto(request.at) if request.HasField("at") else None
        defined = await self.snapshots.take(desired, at=at)
        return pb.CreateSnapshotResponse(
            snapshot=snapshot_to_proto(defined.definition),
            created=defined.changed,
            token=token_to_proto(defined.token),
        )

    async def RemoveSnapshot(
        self, request: pb.RemoveSnapshotRequest, context: Any
    ) -> pb.RemoveSnapshotResponse:
        removed = await self.snapshots.remove(workspace_id(), request.name)
        return pb.RemoveSnapshotResponse(token=token_to_proto(removed.token))

    async def ListSnapshots(
        self, request: pb.ListSnapshotsRequest, context: Any
    ) -> pb.ListSnapshotsResponse:
        token = await self.runner.reach(at_least_of(request))
        async with acquire(self.snapshots.database.api_pool) as conn:
            found = await load_snapshots(conn, workspace_id())
        return pb.ListSnapshotsResponse(
            snapshots=map(snapshot_to_proto, found), token=token_to_proto(token)
        )

    async def snapshot_members(
        self, request: pb.ListMembersRequest, token: Token
    ) -> pb.ListMembersResponse:
        """Return a page of the members of a snapshot."""
        if request.WhichOneof("as_of"):
            raise InvalidField("a snapshot never changes: leave out as_of", field="segment_id")
        name, after = request.segment_id.removeprefix(SNAPSHOT_PREFIX), _after(request.page_token)
        found = await self.sets.snapshot_page(workspace_id(), name, after, page_size_of(request))
        return pb.ListMembersResponse(
            members=[pb.Member(profile_id=to_hex(one)) for one in found.profiles],
            next_page_token="" if found.last is None else _PAGE_TOKEN.encode(found.last),
            token=token_to_proto(token),
        )


def _after(page_token: str) -> int:
    """Return the number after which a page begins; -1 = the first page. Raises InvalidField."""
    decoded = _PAGE_TOKEN.decode(page_token)
    return -1 if decoded is None else int(decoded[0])
