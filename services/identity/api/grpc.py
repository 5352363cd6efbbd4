"""The gRPC door of identity: translate, call, translate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from onefold.identity.v1 import identity_service_pb2 as pb

from services.chassis.access.principal import Role, region, workspace_id
from services.chassis.codec.tokens import token_to_proto
from services.chassis.rpc.server import Allowed
from services.identity.api.decisions_grpc import DecisionsRpc
from services.identity.codec import bus as wire
from services.kernel.errors import InvalidField, NotFound, TooLarge
from services.kernel.ids import IdentifierId, ProfileId, parse_id, to_hex

_SERVICE = "/onefold.identity.v1.IdentityService/"
_PEOPLE = frozenset({Role.SERVICE, Role.ADMIN, Role.INTERNAL})
_SERVICES = frozenset({Role.INTERNAL})

#: Who may call what.
ALLOWED: Allowed = {
    f"{_SERVICE}Resolve": _PEOPLE,
    f"{_SERVICE}ListIdentifiers": _PEOPLE,
    f"{_SERVICE}ExplainMatch": _PEOPLE,
    f"{_SERVICE}Link": _PEOPLE,
    f"{_SERVICE}Separate": _PEOPLE,
    f"{_SERVICE}ListHeld": _PEOPLE,
    f"{_SERVICE}Decide": _PEOPLE,
    f"{_SERVICE}GetPolicy": _PEOPLE,
    f"{_SERVICE}DefinePolicy": _PEOPLE,
    f"{_SERVICE}PreviewPolicy": _PEOPLE,
    f"{_SERVICE}AssessMatches": _PEOPLE,
    f"{_SERVICE}ListMatches": _PEOPLE,
    f"{_SERVICE}WatchMerges": _PEOPLE,
    f"{_SERVICE}ReadOutbox": _SERVICES,
    f"{_SERVICE}ReadAssignments": _SERVICES,
}
MOST_ASKED = 1_000
#: Characters of a purpose.
MOST_PURPOSE = 128


class IdentityRpc(DecisionsRpc):
    """onefold.identity.v1.IdentityService."""

    async def LookupProfiles(
        self, request: pb.LookupProfilesRequest, context: Any
    ) -> pb.LookupProfilesResponse:
        """Tell who identifiers or profile ids are."""
        workspace, purpose = workspace_id(), _purpose(request.purpose)
        named = _limited(request.identifiers, "identifiers")
        asked = [
            *wire.requested_identifiers(workspace, region(), named),
            *wire.requested_profiles(_limited(request.profile_ids, "profile_ids")),
        ]
        token = await self._reach(request)
        found = await self._queries.profiles(workspace, [id_ for id_ in asked if id_], purpose)
        profiles = [found.get(IdentifierId(id_), b"") if id_ else b"" for id_ in asked]
        return pb.LookupProfilesResponse(
            profile_ids=[to_hex(profile) for profile in profiles], token=token_to_proto(token)
        )

    async def ListIdentifiers(
        self, request: pb.ListIdentifiersRequest, context: Any
    ) -> pb.ListIdentifiersResponse:
        """List the identifiers of a profile."""
        workspace = workspace_id()
        asked = ProfileId(parse_id(request.profile_id, "profile_id"))
        token = await self._reach(request)
        person = await self._queries.person(workspace, asked)
        if person is None:
            raise NotFound("no profile has or had this id; check it")
        return pb.ListIdentifiersResponse(
            profile_id=to_hex(person.profile_id),
            identifiers=[wire.profile_identifier(workspace, seen) for seen in person.identifiers],
            token=token_to_proto(token),
        )

    async def ReadOutbox(
        self, request: pb.ReadOutboxRequest, context: Any
    ) -> AsyncIterator[pb.ReadOutboxResponse]:
        """Stream what was said on the bus."""
        said = self._queries.said(request.shard, request.from_offset, request.until_offset)
        async with aclosing(said) as messages:
            async for message in messages:
                response = pb.ReadOutboxResponse()
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


def _limited(asked: Any, field: str) -> Any:
    if len(asked) > MOST_ASKED:
        raise TooLarge(f"at most {MOST_ASKED} {field} a call; split it", limit=str(MOST_ASKED))
    return asked


def _purpose(told: str) -> str:
    if len(told) > MOST_PURPOSE or not told.isprintable():
        raise InvalidField(
            f"a purpose has at most {MOST_PURPOSE} printable characters", field="purpose"
        )
    return told
