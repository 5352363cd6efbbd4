"""The gRPC door of identity: translate, call, translate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer

from services.chassis.deadlines import within
from services.chassis.peers import token_from_proto, token_to_proto
from services.chassis.principal import Role, region, workspace_id
from services.chassis.rpc import Allowed
from services.identity import wire
from services.identity.queries import IdentityQueries
from services.kernel.errors import NotFound, TooLarge
from services.kernel.ids import IdentifierId, ProfileId, to_hex
from services.kernel.tokens import Token

_SERVICE = "/onefold.identity.v1.IdentityService/"
_PEOPLE = frozenset({Role.SERVICE, Role.ADMIN, Role.INTERNAL})
_SERVICES = frozenset({Role.INTERNAL})

#: Who may call what.
ALLOWED: Allowed = {
    f"{_SERVICE}Resolve": _PEOPLE,
    f"{_SERVICE}ListIdentifiers": _PEOPLE,
    f"{_SERVICE}Read": _SERVICES,
    f"{_SERVICE}ReadAssignments": _SERVICES,
}
MOST_ASKED = 1_000
#: Seconds for which a token is waited for where the caller set no deadline.
PATIENCE = 30.0


class IdentityRpc(IdentityServiceServicer):
    """onefold.identity.v1.IdentityService."""

    def __init__(self, queries: IdentityQueries) -> None:
        self._queries = queries

    async def Resolve(self, request: pb.ResolveRequest, context: Any) -> pb.ResolveResponse:
        """Tell who identifiers or profile ids are."""
        workspace = workspace_id()
        named = _limited(request.identifiers, "identifiers")
        asked = [
            *wire.asked_identifiers(workspace, region(), named),
            *wire.asked_profiles(_limited(request.profile_ids, "profile_ids")),
        ]
        token = await self._reach(request)
        found = await self._queries.profiles(workspace, [id_ for id_ in asked if id_])
        profiles = [found.get(IdentifierId(id_), b"") if id_ else b"" for id_ in asked]
        return pb.ResolveResponse(
            profile_ids=[to_hex(profile) for profile in profiles], token=token_to_proto(token)
        )

    async def ListIdentifiers(
        self, request: pb.ListIdentifiersRequest, context: Any
    ) -> pb.ListIdentifiersResponse:
        """List the identifiers of a profile."""
        workspace = workspace_id()
        asked = ProfileId(wire.id_from(request.profile_id, "profile_id"))
        token = await self._reach(request)
        person = await self._queries.person(workspace, asked)
        if person is None:
            raise NotFound("no profile has or had this id; check it")
        return pb.ListIdentifiersResponse(
            profile_id=to_hex(person.profile_id),
            identifiers=map(wire.known_identifier, person.identifiers),
            token=token_to_proto(token),
        )

    async def Read(self, request: pb.ReadRequest, context: Any) -> AsyncIterator[pb.ReadResponse]:
        """Stream what was said on the bus."""
        said = self._queries.said(request.shard, request.from_offset, request.until_offset)
        async with aclosing(said) as messages:
            async for message in messages:
                response = pb.ReadResponse()
                response.batch.MergeFromString(message.payload)
                yield response

    async def ReadAssignments(
        self, request: pb.ReadAssignmentsRequest, context: Any
    ) -> AsyncIterator[pb.ReadAssignmentsResponse]:
        """Stream which profile every identifier belongs to."""
        await self._reach(request)
        async with aclosing(self._queries.assignments()) as pages:
            async for token, page in pages:
                yield pb.ReadAssignmentsResponse(
                    assignments=map(wire.assignment_message, page), token=token_to_proto(token)
                )

    async def _reach(self, request: Any) -> Token:
        asked = token_from_proto(request.at_least) if request.HasField("at_least") else None
        return await self._queries.reach(asked, within(PATIENCE))


def _limited(asked: Any, field: str) -> Any:
    if len(asked) > MOST_ASKED:
        raise TooLarge(f"at most {MOST_ASKED} {field} a call; split it", limit=str(MOST_ASKED))
    return asked
