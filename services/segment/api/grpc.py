"""Serves SegmentService over gRPC: translates requests, calls, and translates results."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from onefold.segment.v1 import segment_service_pb2 as pb
from onefold.type.v1.token_pb2 import StreamPosition

from services.chassis.access.principal import workspace_id
from services.chassis.access.rights import allowed_roles
from services.chassis.codec.fields import (
    PageToken,
    at_least_of,
    page_size_of,
    token_from_proto,
    token_to_proto,
)
from services.chassis.codec.rules import names_from_proto
from services.chassis.definitions import etag_of
from services.chassis.postgres.database import Database
from services.chassis.rpc.clients import IdentityClient
from services.chassis.rpc.server import Allowed
from services.kernel.errors import NotFound
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import ProfileId, parse_id, to_hex
from services.kernel.journeys.inputs import MEMBERSHIP_PREFIX
from services.segment.api.sets import SetRpc
from services.segment.codec.api import (
    preview_to_proto,
    previewed_rules,
    questions_from_proto,
    stay_to_proto,
)
from services.segment.codec.bus import change_to_proto, hypothetical_evaluations
from services.segment.codec.definitions import definition_from_proto, definition_to_proto
from services.segment.commands.segments import SegmentCommands
from services.segment.domain.model import TAG_PREFIXES, check_segment_id
from services.segment.domain.sets import SNAPSHOT_PREFIX
from services.segment.domain.stays import stays_of
from services.segment.queries import memberships as queries
from services.segment.queries.history import read_published, watch_memberships
from services.segment.queries.judge import RuleJudge
from services.segment.queries.preview import RuleEvaluator, preview_segment

#: The roles that may call each method.
ALLOWED: Allowed = allowed_roles(pb.DESCRIPTOR.services_by_name["SegmentService"])
#: The profile id of the last member of a page.
_PAGE_TOKEN = PageToken("16s")


@dataclass(eq=False, kw_only=True)
class SegmentRpc(SetRpc):
    """onefold.segment.v1.SegmentService."""

    commands: SegmentCommands
    database: Database
    identity_client: IdentityClient
    evaluator: RuleEvaluator
    judge: RuleJudge

    async def DefineSegment(
        self, request: pb.DefineSegmentRequest, context: Any
    ) -> pb.DefineSegmentResponse:
        desired = definition_from_proto(workspace_id(), request.segment)
        assumed = names_from_proto(request.assumed, "assumed")
        defined = await self.commands.define(
            desired, etag=request.etag, dry_run=request.dry_run, assumed=assumed
        )
        return pb.DefineSegmentResponse(
            segment=definition_to_proto(defined.definition),
            changed=defined.changed,
            token=token_to_proto(defined.token),
            etag=defined.etag,
        )

    async def ListSegments(
        self, request: pb.ListSegmentsRequest, context: Any
    ) -> pb.ListSegmentsResponse:
        token = await self.runner.reach(at_least_of(request))
        segments, tags = await queries.list_segments(
            self.database, self.runner.shards, workspace_id()
        )
        return pb.ListSegmentsResponse(
            segments=[
                pb.SegmentSummary(
                    segment=definition_to_proto(segment.definition),
                    size=segment.size,
                    live=segment.is_live,
                    etag=etag_of(segment.definition.version),
                )
                for segment in segments
            ],
            tags=[
                pb.TagSize(segment_id=tag.definition.segment_id, size=tag.size, live=tag.is_live)
                for tag in tags
            ],
            token=token_to_proto(token),
        )

    async def ListMembers(
        self, request: pb.ListMembersRequest, context: Any
    ) -> pb.ListMembersResponse:
        check_segment_id(request.segment_id, "segment_id")
        size = page_size_of(request)
        token = await self.runner.reach(at_least_of(request))
        if request.segment_id.startswith(SNAPSHOT_PREFIX):
            return await self.snapshot_members(request, token)
        (after,) = _PAGE_TOKEN.decode(request.page_token) or (b"",)
        as_of = None
        if request.WhichOneof("as_of") == "as_of_token":
            as_of = token_from_proto(request.as_of_token)
            token = await self.runner.reach(as_of)
        rows = await queries.list_members(
            self.database,
            workspace_id(),
            request.segment_id,
            after=after,
            limit=size,
            as_of_us=request.as_of_us,
            as_of=as_of,
        )
        return pb.ListMembersResponse(
            members=[
                pb.Member(profile_id=to_hex(row["profile_id"]), since_us=row["since_us"])
                for row in rows
            ],
            next_page_token=_PAGE_TOKEN.encode(rows[-1]["profile_id"]) if len(rows) == size else "",
            token=token_to_proto(token),
        )

    async def ListMemberships(
        self, request: pb.ListMembershipsRequest, context: Any
    ) -> pb.ListMembershipsResponse:
        token = await self.runner.reach(at_least_of(request))
        profile_id = await self._find_profile(request)
        if request.only_current:
            last = await queries.last_changes(self.database, workspace_id(), profile_id)
            return pb.ListMembershipsResponse(
                profile_id=to_hex(profile_id),
                segment_ids=[change.segment_id for change in last if change.entered],
                history=map(change_to_proto, last),
                token=token_to_proto(token),
            )
        found = await queries.memberships_of(self.database, workspace_id(), profile_id)
        changes = [c for c in found.changes if not c.segment_id.startswith(MEMBERSHIP_PREFIX)]
        hidden = (*TAG_PREFIXES, MEMBERSHIP_PREFIX)
        return pb.ListMembershipsResponse(
            profile_id=to_hex(profile_id),
            segment_ids=sorted(i for i in found.segment_ids if not i.startswith(hidden)),
            history=map(change_to_proto, changes),
            stays=[stay_to_proto(stay, found.now_us) for stay in stays_of(changes)],
            token=token_to_proto(token),
        )

    async def PreviewMemberships(
        self, request: pb.PreviewMembershipsRequest, context: Any
    ) -> pb.PreviewMembershipsResponse:
        evaluations = hypothetical_evaluations(workspace_id(), request.evaluations)
        token = await self.runner.reach(at_least_of(request))
        changes = await queries.preview_memberships(
            self.database, self.runner.shards, workspace_id(), evaluations
        )
        return pb.PreviewMembershipsResponse(
            changes=map(change_to_proto, changes), token=token_to_proto(token)
        )

    async def PreviewSegment(
        self, request: pb.PreviewSegmentRequest, context: Any
    ) -> pb.PreviewSegmentResponse:
        defined = previewed_rules(request)
        at_least = at_least_of(request)
        token = await self.runner.reach(at_least)
        preview = await preview_segment(
            self.database,
            self.evaluator,
            workspace_id(),
            defined,
            sample_size=request.sample_size,
            at_least=at_least,
        )
        return preview_to_proto(preview, token)

    async def WatchMemberships(
        self, request: pb.WatchMembershipsRequest, context: Any
    ) -> AsyncIterator[pb.WatchMembershipsResponse]:
        segment_ids = frozenset(request.segment_ids)
        start = request.from_position.sequences
        pages = watch_memberships(self.database, self.runner.shards, workspace_id(), start)
        async for page in pages:
            changes = [
                change_to_proto(change)
                for change in page.changes
                if change.segment_id in segment_ids
                or not (segment_ids or change.segment_id.startswith(MEMBERSHIP_PREFIX))
            ]
            position = StreamPosition(sequences=page.next_sequences)
            yield pb.WatchMembershipsResponse(changes=changes, position=position)

    async def Judge(self, request: pb.JudgeRequest, context: Any) -> pb.JudgeResponse:
        questions = questions_from_proto(request)
        await self.runner.catch_up(at_least_of(request))
        answers = await self.judge.judge(questions)
        return pb.JudgeResponse(answers=[pb.JudgeAnswer(is_true=answer) for answer in answers])

    async def ReadOutbox(
        self, request: pb.ReadOutboxRequest, context: Any
    ) -> AsyncIterator[pb.ReadOutboxResponse]:
        messages = read_published(
            self.database.pool,
            request.shard,
            request.from_sequence,
            request.end_sequence,
            request.life,
        )
        async with aclosing(messages):
            async for message in messages:
                response = pb.ReadOutboxResponse(next_sequence=message.next, life=message.life)
                response.batch.MergeFromString(message.payload)
                yield response

    async def _find_profile(self, request: pb.ListMembershipsRequest) -> ProfileId:
        if request.WhichOneof("by") == "identifier":
            identifier = Identifier(request.identifier.namespace, request.identifier.value)
            found = await self.identity_client.by_identifier(workspace_id(), identifier)
        else:
            profile_id = ProfileId(parse_id(request.profile_id, "profile_id"))
            found = await self.identity_client.by_profile_id(workspace_id(), profile_id)
        if found is None:
            raise NotFound("no profile has this identifier; check namespace and value")
        return found
