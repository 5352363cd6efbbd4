"""Serves the rpcs about profiles, and those for the services downstream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sized
from contextlib import aclosing
from typing import Any

from onefold.identity.v1 import identity_service_pb2 as pb

from services.chassis.access.principal import workspace_id
from services.chassis.codec.fields import as_of_of, at_least_of, token_from_proto, token_to_proto
from services.identity.api.calls import caller
from services.identity.codec.bus import assignment_to_proto
from services.identity.codec.requests import decode_identifier_ids, decode_profile_ids
from services.identity.codec.responses import graph_to_proto, merges_to_proto, profile_identifier
from services.identity.domain.rows import AssignedProfile
from services.identity.projection.reader import StateReader
from services.identity.queries.merge_feed import MergeFeed
from services.identity.queries.past import PastProfiles
from services.identity.queries.profiles import IdentityQueries
from services.identity.rebuild.page_share import PageShare
from services.kernel.errors import InvalidField, NotFound, TooLarge
from services.kernel.ids import IdentifierId, ProfileId, parse_id, to_hex

MAX_LOOKUPS = 1_000
#: Characters of a purpose.
MAX_PURPOSE = 128
_UNKNOWN = AssignedProfile(ProfileId(b""), 0)


class ProfilesRpc:
    """Looks up profiles, and streams assignments, outputs and merges."""

    def __init__(
        self,
        reader: StateReader,
        queries: IdentityQueries,
        past: PastProfiles,
        merges: MergeFeed,
        share: PageShare,
    ) -> None:
        self._share = share
        self._reader = reader
        self._queries = queries
        self._past = past
        self._merges = merges

    async def LookupProfiles(
        self, request: pb.LookupProfilesRequest, context: Any
    ) -> pb.LookupProfilesResponse:
        _check_purpose(request.purpose)
        _check_size(request.identifiers, "identifiers")
        _check_size(request.profile_ids, "profile_ids")
        by, ids = caller(self._reader.index_key), list[bytes]()
        ids += decode_identifier_ids(request.identifiers, by)
        ids += decode_profile_ids(request.profile_ids)
        token = await self._reader.runner.reach(at_least_of(request))
        stored = [id_ for id_ in ids if id_]
        found = await self._queries.lookup(by.workspace_id, stored, request.purpose)
        assigned = [found.get(IdentifierId(id_), _UNKNOWN) for id_ in ids]
        return pb.LookupProfilesResponse(
            profile_ids=(to_hex(one.profile_id) for one in assigned),
            token=token_to_proto(token),
            identifier_ids=(
                to_hex(id_ if one.version else b"") for id_, one in zip(ids, assigned, strict=True)
            ),
            versions=(one.version for one in assigned),
        )

    async def ListIdentifiers(
        self, request: pb.ListIdentifiersRequest, context: Any
    ) -> pb.ListIdentifiersResponse:
        workspace, id_ = workspace_id(), ProfileId(parse_id(request.profile_id, "profile_id"))
        token = await self._reader.runner.reach(at_least_of(request))
        as_of = as_of_of(request)
        if as_of is None:
            profile = await self._queries.profile(workspace, id_)
        else:
            if as_of.token is not None:
                token = await self._reader.runner.reach(as_of.token)
            profile = await self._past.profile(workspace, IdentifierId(id_), as_of)
        if profile is None:
            if as_of is None:
                raise NotFound("no profile has this id; check profile_id")
            raise NotFound("no profile had this id or identifier then; ask about a later state")
        return pb.ListIdentifiersResponse(
            profile_id=to_hex(profile.profile_id),
            identifiers=list(map(profile_identifier, profile.identifiers)),
            token=token_to_proto(token),
        )

    async def GetGraph(self, request: pb.GetGraphRequest, context: Any) -> pb.GetGraphResponse:
        workspace, id_ = workspace_id(), ProfileId(parse_id(request.profile_id, "profile_id"))
        token = await self._reader.runner.reach(at_least_of(request))
        graph = await self._queries.graph(workspace, id_)
        if graph is None:
            raise NotFound("no profile has this id; check profile_id")
        return graph_to_proto(graph, token)

    async def WatchMerges(
        self, request: pb.WatchMergesRequest, context: Any
    ) -> AsyncIterator[pb.WatchMergesResponse]:
        since = token_from_proto(request.from_token) if request.HasField("from_token") else None
        async with aclosing(self._merges.watch(workspace_id(), since)) as feed:
            async for merges in feed:
                yield merges_to_proto(merges)

    async def ReadOutbox(
        self, request: pb.ReadOutboxRequest, context: Any
    ) -> AsyncIterator[pb.ReadOutboxResponse]:
        outbox = self._queries.read_outbox(
            request.shard, request.from_offset, request.end_offset, request.life
        )
        async with aclosing(outbox) as messages:
            async for message in messages:
                response = pb.ReadOutboxResponse(life=message.life)
                response.batch.MergeFromString(message.payload)
                yield response

    async def ReadAssignments(
        self, request: pb.ReadAssignmentsRequest, context: Any
    ) -> AsyncIterator[pb.ReadAssignmentsResponse]:
        await self._reader.runner.catch_up(at_least_of(request))
        async with aclosing(self._queries.read_assignments()) as pages:
            async for token, page in pages:
                yield pb.ReadAssignmentsResponse(
                    assignments=map(assignment_to_proto, page), token=token_to_proto(token)
                )

    async def ReadRebuildPages(
        self, request: pb.ReadRebuildPagesRequest, context: Any
    ) -> AsyncIterator[pb.ReadRebuildPagesResponse]:
        async with aclosing(self._share.follow()) as pages:
            async for page in pages:
                yield pb.ReadRebuildPagesResponse(fact_batch=page)


def _check_size(values: Sized, field: str) -> None:
    if len(values) > MAX_LOOKUPS:
        limit = str(MAX_LOOKUPS)
        raise TooLarge(f"a call takes at most {limit} {field}; split it", limit=limit)


def _check_purpose(text: str) -> None:
    if len(text) > MAX_PURPOSE or not text.isprintable():
        raise InvalidField(
            f"a purpose has at most {MAX_PURPOSE} printable characters", field="purpose"
        )
