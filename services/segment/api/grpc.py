"""The gRPC door of segment: translate, call, translate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from onefold.segment.v1 import segment_service_pb2 as pb
from onefold.segment.v1 import segment_service_pb2_grpc as pb_grpc

from services.chassis.access.principal import Role, workspace_id
from services.chassis.rpc.clients import token_from_proto, token_to_proto
from services.chassis.rpc.server import Allowed
from services.chassis.runtime.deadlines import clip_to_deadline
from services.kernel.errors import InvalidField, NotFound
from services.kernel.identifiers import Identifier
from services.kernel.ids import ProfileId, from_hex, to_hex
from services.kernel.tokens import Token
from services.segment.codec.bus import (
    change_message,
    definition_from,
    definition_message,
    history_message,
)
from services.segment.codec.preview import previewed_standings
from services.segment.queries.memberships import SegmentQueries, check_id
from services.segment.queries.preview import Previews

_PEOPLE = frozenset({Role.SERVICE, Role.ADMIN, Role.INTERNAL})
_SERVICE = "/onefold.segment.v1.SegmentService/"
#: Who may call what.
ALLOWED: Allowed = {
    f"{_SERVICE}DefineSegment": _PEOPLE,
    f"{_SERVICE}ListSegments": _PEOPLE,
    f"{_SERVICE}ListMembers": _PEOPLE,
    f"{_SERVICE}ListMemberships": _PEOPLE,
    f"{_SERVICE}PreviewMemberships": _PEOPLE,
    f"{_SERVICE}WatchMemberships": _PEOPLE,
    f"{_SERVICE}ReadOutbox": frozenset({Role.INTERNAL}),
}
PAGE, MAX_PAGE = 50, 1_000
REACH_SECONDS = 30.0
#: The highest sequence there can be.
_MOST = 2**63 - 1


class SegmentRpc(pb_grpc.SegmentServiceServicer):
    """onefold.segment.v1.SegmentService."""

    def __init__(self, queries: SegmentQueries, previews: Previews) -> None:
        self._queries = queries
        self._previews = previews

    async def DefineSegment(self, request: Any, context: Any) -> Any:
        """Define a segment."""
        asked = definition_from(workspace_id(), request.segment)
        definition, changed, token = await self._queries.define(asked, request.dry_run)
        return pb.DefineSegmentResponse(
            segment=definition_message(definition), changed=changed, token=token_to_proto(token)
        )

    async def ListSegments(self, request: Any, context: Any) -> Any:
        """List the segments with their sizes."""
        token = await self._reach(request)
        found = await self._queries.segments(workspace_id())
        return pb.ListSegmentsResponse(
            segments=[
                pb.SegmentSummary(segment=definition_message(d), size=size, live=live)
                for d, size, live in found
            ],
            token=token_to_proto(token),
        )

    async def ListMembers(self, request: Any, context: Any) -> Any:
        """List members, by profile id."""
        check_id(request.segment_id, "segment_id")
        token = await self._reach(request)
        size = _page_size(request.page_size)
        after = _page_token(request.page_token)
        members = await self._queries.members(
            workspace_id(), request.segment_id, after, size, request.as_of_us
        )
        more = to_hex(members[-1][0]) if len(members) == size else ""
        return pb.ListMembersResponse(
            members=[pb.Member(profile_id=to_hex(p), since_us=since) for p, since in members],
            next_page_token=more,
            token=token_to_proto(token),
        )

    async def ListMemberships(self, request: Any, context: Any) -> Any:
        """Tell the memberships of one profile, and its history."""
        token = await self._reach(request)
        profile_id = await self._profile(request)
        segments, history = await self._queries.memberships(workspace_id(), profile_id)
        return pb.ListMembershipsResponse(
            profile_id=to_hex(profile_id),
            segment_ids=sorted(segments),
            history=map(history_message, history),
            token=token_to_proto(token),
        )

    async def PreviewMemberships(self, request: Any, context: Any) -> Any:
        """Tell who would enter and leave if profiles stood otherwise."""
        workspace = workspace_id()
        standings = previewed_standings(workspace, request.evaluations)
        token = await self._reach(request)
        found = await self._previews.memberships(workspace, standings)
        return pb.PreviewMembershipsResponse(
            changes=[change_message(change, 0) for change in found], token=token_to_proto(token)
        )

    async def WatchMemberships(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Stream entries and exits of the workspace as they come."""
        wanted = frozenset(request.segment_ids)
        starts = tuple(request.from_sequences)
        if any(start > _MOST for start in starts):
            raise InvalidField("a sequence is one that a response told", field="from_sequences")
        watched = self._queries.watch(workspace_id(), starts)
        async for shard, rows, following in watched:
            told = [history_message(r) for r in rows if not wanted or r["segment_id"] in wanted]
            yield pb.WatchMembershipsResponse(changes=told, shard=shard, next_sequence=following)

    async def ReadOutbox(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Stream what was said on the bus."""
        said = self._queries.said(request.shard, request.from_sequence, request.until_sequence)
        async with aclosing(said) as messages:
            async for message in messages:
                response = pb.ReadOutboxResponse(next_sequence=message.next)
                response.batch.MergeFromString(message.payload)
                yield response

    async def _reach(self, request: Any) -> Token:
        if not request.HasField("at_least"):
            return await self._queries.token()
        return await self._queries.reach(
            token_from_proto(request.at_least), clip_to_deadline(REACH_SECONDS)
        )

    async def _profile(self, request: Any) -> ProfileId:
        if request.WhichOneof("by") == "identifier":
            told = request.identifier
            found = await self._queries.people.by_identifier(
                workspace_id(), Identifier(told.namespace, told.value)
            )
        else:
            found = await self._queries.people.by_profile_id(
                workspace_id(), ProfileId(_id(request.profile_id, "profile_id"))
            )
        if found is None:
            raise NotFound("nobody is known by this; check the namespace and the value")
        return found


def _page_size(asked: int) -> int:
    if asked > MAX_PAGE:
        raise InvalidField(f"page_size is at most {MAX_PAGE}", field="page_size")
    return asked or PAGE


def _page_token(told: str) -> bytes:
    return _id(told, "page_token") if told else b""


def _id(told: str, field: str) -> bytes:
    try:
        return from_hex(told)
    except ValueError:
        raise InvalidField(f"{field} has 32 hexadecimal digits", field=field) from None
