"""What services ask of each other beside the streams: facts of the log, and who is who.

Every call raises OnefoldError.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from onefold.identity.v1 import identity_service_pb2 as identity_pb
from onefold.identity.v1 import identity_service_pb2_grpc as identity_grpc
from onefold.log.v1 import log_pb2, log_service_pb2
from onefold.log.v1 import log_service_pb2_grpc as log_grpc
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.projection.v1 import projection_service_pb2_grpc as projection_grpc
from onefold.type.v1 import identifier_pb2

from services.chassis.access.principal import WORKSPACE_KEY
from services.chassis.codec.tokens import token_from_proto, token_to_proto
from services.chassis.definitions import DefinitionAppended, DefinitionFact
from services.chassis.rpc.channel import ServiceChannel
from services.kernel.errors import Conflict
from services.kernel.identifiers import Identifier
from services.kernel.ids import ProfileId, WorkspaceId, definition_fact_id, from_hex, to_hex
from services.kernel.tokens import Token

#: As many as identity takes in one question.
_MAX_LOOKUPS = 1_000


class LogClient:
    """The event log as another service sees it."""

    def __init__(self, channel: ServiceChannel, actor: str) -> None:
        self._stub: Any = log_grpc.LogServiceStub(channel)
        self._actor = actor

    async def append_definition(self, fact: DefinitionFact) -> DefinitionAppended:
        """Append one version of a definition. Raises OnefoldError; see `DefinitionLog`."""
        message = log_pb2.Fact(
            workspace_id=fact.workspace_id,
            fact_id=fact.fact_id,
            kind=fact.kind,
            actor=fact.actor or self._actor,
            payload=fact.payload,
        )
        response = await self.append([message])
        return DefinitionAppended(response.appended > 0, token_from_proto(response.token))

    async def define(
        self, workspace_id: str, key: str, version: int, message: Any, *, actor: str = ""
    ) -> Token:
        """Append one version of a definition; the state of the log that includes it.

        `actor`: who says it, where that is not the service itself.

        Raises EtagMismatch where another definition of this version is there already.
        """
        kind = message.DESCRIPTOR.full_name
        fact = log_pb2.Fact(
            workspace_id=workspace_id,
            fact_id=definition_fact_id(WorkspaceId(workspace_id), kind, key, version),
            kind=kind,
            actor=actor or self._actor,
            payload=message.SerializeToString(deterministic=True),
        )
        answer = await self.append([fact])
        if not answer.appended:
            raise Conflict("somebody else defined it in between; read it and try again")
        return token_from_proto(answer.token)

    async def append(self, facts: list[log_pb2.Fact]) -> log_service_pb2.AppendResponse:
        """Append facts, whole or not at all. Raises OnefoldError."""
        return await self._stub.Append(log_service_pb2.AppendRequest(facts=facts))

    async def head(self) -> Token:
        """Return the state of the log that includes everything so far. Raises OnefoldError."""
        response = await self._stub.GetHead(log_service_pb2.GetHeadRequest())
        return token_from_proto(response.token)

    async def tick(self) -> None:
        """Let every shard hear what time it is. Raises OnefoldError."""
        await self._stub.TickClock(log_service_pb2.TickClockRequest())

    async def read(
        self, shard: int, first: int, until: int, *, kinds: Sequence[str] = (), page: int = 0
    ) -> AsyncIterator[Sequence[log_pb2.Fact]]:
        """The facts [first, until) of a shard in order, page by page; only of these kinds, if any.

        `until` 0 = the end as of the call. Raises OnefoldError.
        """
        request = log_service_pb2.ReadRequest(
            shard=shard, from_offset=first, end_offset=until, kinds=kinds, page_size=page
        )
        async for answer in self._stub.Read(request):
            yield answer.batch.facts

    async def read_leaves(
        self,
        workspace_id: WorkspaceId,
        leaf_ids: Sequence[bytes],
        *,
        before_us: int = 0,
        before: Token | None = None,
        recorded_until_us: int = 0,
        limit: int = 0,
    ) -> list[log_pb2.Fact]:
        """Facts of some leaves (at most 1,000), newest occurrence first; 0 and None = no bound.

        Raises OnefoldError.
        """
        request = log_service_pb2.ReadLeavesRequest(
            workspace_id=workspace_id,
            leaf_ids=leaf_ids,
            before_us=before_us,
            before_token=None if before is None else token_to_proto(before),
            recorded_until_us=recorded_until_us,
            limit=limit,
        )
        answers = self._stub.ReadLeaves(request, metadata=((WORKSPACE_KEY, workspace_id),))
        return [fact async for answer in answers for fact in answer.facts]


class ProjectionClient:
    """What every service that folds the log tells of itself."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._stub: Any = projection_grpc.ProjectionServiceStub(channel)

    async def reached(self) -> Token:
        """How far its state is. Raises OnefoldError."""
        status = await self._stub.GetStatus(projection_pb.GetStatusRequest())
        return Token.from_offsets({shard.shard: shard.log_offset for shard in status.shards})


class IdentityClient:
    """Identity as another service sees it."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._stub: Any = identity_grpc.IdentityServiceStub(channel)

    async def by_identifier(
        self, workspace_id: WorkspaceId, identifier: Identifier, at_least: Token | None = None
    ) -> ProfileId | None:
        """The profile that holds an identifier (in any form); None where nobody does."""
        message = identifier_pb2.Identifier(namespace=identifier.namespace, value=identifier.value)
        request = identity_pb.LookupProfilesRequest(identifiers=[message])
        return await self._resolve(workspace_id, request, at_least)

    async def by_profile_id(
        self, workspace_id: WorkspaceId, profile_id: ProfileId, at_least: Token | None = None
    ) -> ProfileId | None:
        """The present id of a profile, given any id that it ever had; None where it has none."""
        request = identity_pb.LookupProfilesRequest(profile_ids=[to_hex(profile_id)])
        return await self._resolve(workspace_id, request, at_least)

    async def current_profiles(
        self, workspace_id: WorkspaceId, profile_ids: Sequence[ProfileId]
    ) -> dict[ProfileId, ProfileId]:
        """Who profiles are now, for those that are somebody, given ids that they ever had."""
        found: dict[ProfileId, ProfileId] = {}
        for start in range(0, len(profile_ids), _MAX_LOOKUPS):
            asked = profile_ids[start : start + _MAX_LOOKUPS]
            request = identity_pb.LookupProfilesRequest(profile_ids=map(to_hex, asked))
            answer = await self._stub.LookupProfiles(
                request, metadata=((WORKSPACE_KEY, workspace_id),)
            )
            present = zip(asked, answer.profile_ids, strict=True)
            found |= {old: ProfileId(from_hex(now)) for old, now in present if now}
        return found

    async def _resolve(
        self,
        workspace_id: WorkspaceId,
        request: identity_pb.LookupProfilesRequest,
        at_least: Token | None,
    ) -> ProfileId | None:
        if at_least is not None:
            request.at_least.CopyFrom(token_to_proto(at_least))
        answer = await self._stub.LookupProfiles(request, metadata=((WORKSPACE_KEY, workspace_id),))
        found = answer.profile_ids[0]
        return ProfileId(from_hex(found)) if found else None
