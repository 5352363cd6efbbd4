"""Serves the rpc about erasures of persons."""

from __future__ import annotations

from typing import Any

from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.type.v1 import identifier_pb2 as pb_identifier

from services.chassis.codec.fields import token_to_proto
from services.identity.api.calls import caller
from services.identity.codec.requests import Caller, decode_identifier
from services.identity.commands.erasure import ErasureRequests
from services.identity.projection.reader import StateReader
from services.kernel.errors import InvalidField
from services.kernel.ids import ProfileId, parse_id, to_hex

_MAX_GROUND = 200


class ErasureRpc:
    """Requests erasures of persons."""

    def __init__(self, reader: StateReader, requests: ErasureRequests) -> None:
        self._reader = reader
        self._requests = requests

    async def RequestErasure(
        self, request: pb.RequestErasureRequest, context: Any
    ) -> pb.RequestErasureResponse:
        by = caller(self._reader.index_key)
        requested = await self._requests.request(
            by,
            _person(request, by),
            _ground(request.legal_ground),
            block=request.block,
            dry_run=request.dry_run,
        )
        profile = requested.profile
        return pb.RequestErasureResponse(
            request_id=to_hex(requested.request_id),
            profile_id=to_hex(profile.profile_id),
            identifiers=[
                pb_identifier.Identifier(
                    namespace=one.identifier.namespace, value=one.identifier.value
                )
                for one in profile.identifiers
            ],
            related_identifiers=requested.related,
            token=token_to_proto(requested.token),
        )


def _person(request: pb.RequestErasureRequest, by: Caller) -> ProfileId:
    if request.HasField("identifier"):
        identifier = decode_identifier(request.identifier, by, "identifier")
        return ProfileId(identifier.id_in(by.workspace_id, by.index_key))
    if not request.profile_id:
        raise InvalidField("name the person by an identifier or a profile id", field="person")
    return ProfileId(parse_id(request.profile_id, "profile_id"))


def _ground(text: str) -> str:
    ground = text.strip()
    if not 0 < len(ground) <= _MAX_GROUND or not ground.isprintable():
        message = f"state the legal ground in 1 to {_MAX_GROUND} printable characters"
        raise InvalidField(message, field="legal_ground")
    return ground
