"""Clients of the event log, of projections and of identity; every call raises OnefoldError."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

from onefold.identity.v1 import identity_service_pb2 as identity_pb
from onefold.identity.v1 import identity_service_pb2_grpc as identity_grpc
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1 import admin_service_pb2_grpc as admin_grpc
from onefold.log.v1 import log_pb2, log_service_pb2
from onefold.log.v1 import log_service_pb2_grpc as log_grpc
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.projection.v1 import projection_service_pb2_grpc as projection_grpc
from onefold.type.v1 import identifier_pb2

from services.chassis.access.principal import workspace_metadata
from services.chassis.access.uses import KeyUse, RecordUses
from services.chassis.codec.fields import token_from_proto, token_to_proto
from services.chassis.definitions import DefinitionAppended, DefinitionFact
from services.chassis.rpc.channel import ServiceChannel
from services.kernel.as_of import AsOf
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import IdentifierId, LeafId, ProfileId, WorkspaceId, from_hex, to_hex
from services.kernel.tokens import Token

#: The most profiles that identity looks up in one call.
_MAX_LOOKUPS = 1_000


class LogClient:
    """A client of the event log for the other services."""

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

    async def append(
        self, facts: list[log_pb2.Fact], known_us: int = 0
    ) -> log_service_pb2.AppendResponse:
        """Append facts, whole or not at all. Raises OnefoldError.

        `known_us`: the facts follow from what was recorded in the log up to this instant; 0 = they
        do not follow from it. Raises TokenNotReached where a person in them was erased since.
        """
        request = log_service_pb2.AppendRequest(facts=facts, known_us=known_us)
        return await self._stub.Append(request)

    async def head(self) -> Token:
        """Return the state of the log that includes everything so far. Raises OnefoldError."""
        return (await self.now())[0]

    async def now(self) -> tuple[Token, int]:
        """Return `head`, and the instant of the log's clock at it (Unix microseconds)."""
        response = await self._stub.GetHead(log_service_pb2.GetHeadRequest())
        return token_from_proto(response.token), response.now_us

    async def tick(self) -> None:
        """Have the log state its time on every shard now. Raises OnefoldError."""
        await self._stub.TickClock(log_service_pb2.TickClockRequest())

    async def read(
        self,
        shard: int,
        first: int,
        end: int,
        *,
        kinds: Sequence[str] = (),
        page: int = 0,
        workspace_id: str = "",
    ) -> AsyncIterator[Sequence[log_pb2.Fact]]:
        """Yield the facts [first, end) of a shard in pages, in order; empty `kinds` = all kinds.

        `end` 0 = the head as of the call; `workspace_id`: with `kinds`, of this one alone. Raises
        OnefoldError.
        """
        request = log_service_pb2.ReadRequest(
            shard=shard,
            from_offset=first,
            end_offset=end,
            kinds=kinds,
            page_size=page,
            workspace_id=workspace_id,
        )
        async for response in self._stub.Read(request):
            yield response.batch.facts

    async def read_leaves(
        self,
        workspace_id: WorkspaceId,
        leaf_ids: Sequence[bytes],
        *,
        before_us: int = 0,
        before: Token | None = None,
        recorded_until_us: int = 0,
        recorded_after_us: int = 0,
        limit: int = 0,
    ) -> list[log_pb2.Fact]:
        """Return facts of at most 1,000 leaves, newest occurrence first; 0 and None = no bound.

        Raises OnefoldError.
        """
        pages = self.stream_leaves(
            workspace_id,
            leaf_ids,
            before_us=before_us,
            before=before,
            recorded_until_us=recorded_until_us,
            recorded_after_us=recorded_after_us,
            limit=limit,
        )
        return [fact async for page in pages for fact in page]

    async def stream_leaves(
        self,
        workspace_id: WorkspaceId,
        leaf_ids: Sequence[bytes],
        *,
        before_us: int = 0,
        before: Token | None = None,
        recorded_until_us: int = 0,
        recorded_after_us: int = 0,
        limit: int = 0,
    ) -> AsyncIterator[Sequence[log_pb2.Fact]]:
        """Yield what `read_leaves` returns in pages. Raises OnefoldError."""
        request = log_service_pb2.ReadLeavesRequest(
            workspace_id=workspace_id,
            leaf_ids=leaf_ids,
            before_us=before_us,
            before_token=None if before is None else token_to_proto(before),
            recorded_until_us=recorded_until_us,
            recorded_after_us=recorded_after_us,
            limit=limit,
        )
        metadata = workspace_metadata(workspace_id)
        async for response in self._stub.ReadLeaves(request, metadata=metadata):
            yield response.facts


def use_recorder(ingest: ServiceChannel) -> RecordUses:
    """Return a function that hands the uses of keys over to ingest; it raises OnefoldError."""
    stub: Any = admin_grpc.AdminServiceStub(ingest)

    async def record(uses: Sequence[KeyUse]) -> None:
        messages = [admin_pb.KeyUse(**use._asdict()) for use in uses]
        await stub.RecordKeyUses(admin_pb.RecordKeyUsesRequest(uses=messages))

    return record


class ProjectionClient:
    """The state of a service that folds the log."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._stub: Any = projection_grpc.ProjectionServiceStub(channel)

    async def reached(self) -> Token:
        """Return the token that the service has reached. Raises OnefoldError."""
        status = await self._stub.GetStatus(projection_pb.GetStatusRequest())
        return Token.from_offsets({shard.shard: shard.log_offset for shard in status.shards})


class AssignedIdentifier(NamedTuple):
    """An identifier and the profile that has it."""

    identifier_id: IdentifierId
    profile_id: ProfileId
    #: The highest one of an identifier is current.
    version: int


class IdentityClient:
    """A client of identity for the other services."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._stub: Any = identity_grpc.IdentityServiceStub(channel)

    async def by_identifier(
        self, workspace_id: WorkspaceId, identifier: Identifier
    ) -> ProfileId | None:
        """Return the profile that has an identifier (in any form); None if there is none."""
        found = await self.assignment(workspace_id, identifier)
        return None if found is None else found.profile_id

    async def assignment(
        self, workspace_id: WorkspaceId, identifier: Identifier
    ) -> AssignedIdentifier | None:
        """Return the assignment of an identifier (in any form); None = no profile has it."""
        message = identifier_pb2.Identifier(namespace=identifier.namespace, value=identifier.value)
        response = await self._stub.LookupProfiles(
            identity_pb.LookupProfilesRequest(identifiers=[message]),
            metadata=workspace_metadata(workspace_id),
        )
        if not response.profile_ids[0]:
            return None
        return AssignedIdentifier(
            IdentifierId(from_hex(response.identifier_ids[0])),
            ProfileId(from_hex(response.profile_ids[0])),
            response.versions[0],
        )

    async def by_profile_id(
        self, workspace_id: WorkspaceId, profile_id: ProfileId
    ) -> ProfileId | None:
        """Return the current id of a profile by any id it ever had; None if it no longer exists."""
        return (await self.current_profiles(workspace_id, [profile_id])).get(profile_id)

    async def past_profile(
        self, workspace_id: WorkspaceId, id_: bytes, as_of: AsOf
    ) -> tuple[ProfileId, dict[LeafId, Identifier]]:
        """Return the profile of an identifier or of a profile id in the past, by its id then.

        With all its identifiers of then by their ids. Raises NotFound.
        """
        request = identity_pb.ListIdentifiersRequest(profile_id=to_hex(id_))
        if as_of.token is not None:
            request.as_of_token.CopyFrom(token_to_proto(as_of.token))
        else:
            request.as_of_us = as_of.occurred_until_us
        metadata = workspace_metadata(workspace_id)
        found = await self._stub.ListIdentifiers(request, metadata=metadata)
        identifiers = {
            LeafId(from_hex(one.identifier_id)): Identifier(
                one.identifier.namespace, one.identifier.value
            )
            for one in found.identifiers
        }
        return ProfileId(from_hex(found.profile_id)), identifiers

    async def current_profiles(
        self, workspace_id: WorkspaceId, profile_ids: Sequence[ProfileId]
    ) -> dict[ProfileId, ProfileId]:
        """Return the current ids of profiles by any of their ids; unknown ids are omitted."""
        found: dict[ProfileId, ProfileId] = {}
        for start in range(0, len(profile_ids), _MAX_LOOKUPS):
            page = profile_ids[start : start + _MAX_LOOKUPS]
            request = identity_pb.LookupProfilesRequest(profile_ids=map(to_hex, page))
            pairs = zip(page, await self._lookup(workspace_id, request), strict=True)
            found |= {old: current for old, current in pairs if current}
        return found

    async def _lookup(
        self, workspace_id: WorkspaceId, request: identity_pb.LookupProfilesRequest
    ) -> list[ProfileId | None]:
        metadata = workspace_metadata(workspace_id)
        response = await self._stub.LookupProfiles(request, metadata=metadata)
        return [ProfileId(from_hex(text)) if text else None for text in response.profile_ids]
