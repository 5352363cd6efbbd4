"""What a message says: made once an effect, out of the profile as it is then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.profile.v1 import profile_service_pb2_grpc as pb_grpc

from services.activation.domain.model import Destination, Trigger
from services.activation.store.postgres import Attempt
from services.chassis.access.principal import WORKSPACE_KEY
from services.chassis.rpc.channel import ServiceChannel
from services.kernel.errors import NotFound
from services.kernel.ids import to_hex
from services.kernel.time import to_rfc3339

_TYPES = {Trigger.ENTERED: "segment.entered", Trigger.LEFT: "segment.left"}


class Renderer:
    """Makes the bodies of messages."""

    def __init__(self, profiles: ServiceChannel) -> None:
        self._stub: Any = pb_grpc.ProfileServiceStub(profiles)

    async def render(
        self, destination: Destination, attempts: Sequence[Attempt]
    ) -> list[tuple[Attempt, bytes]]:
        """A body for each attempt. Raises OnefoldError where profile does not answer."""
        wanted = sorted({to_hex(attempt.profile_id) for attempt in attempts})
        metadata = ((WORKSPACE_KEY, destination.workspace_id),)
        request = pb.BatchGetProfilesRequest(profile_ids=wanted)
        answer = await self._stub.BatchGetProfiles(request, metadata=metadata)
        profiles = {profile.profile_id: profile for profile in answer.profiles}
        gone = [id_ for id_ in wanted if id_ not in profiles]
        profiles |= await self._heirs(gone, metadata)
        return [(a, body(destination, a, profiles.get(to_hex(a.profile_id)))) for a in attempts]

    async def _heirs(self, gone: Iterable[str], metadata: Any) -> dict[str, Any]:
        """By id, the profiles that hold now what those that are gone were; seldom any."""
        found: dict[str, Any] = {}
        for id_ in gone:
            try:
                request = pb.GetProfileRequest(profile_id=id_)
                answer = await self._stub.GetProfile(request, metadata=metadata)
            except NotFound:
                continue
            found[id_] = answer.profile
        return found


def body(destination: Destination, attempt: Attempt, profile: Any | None) -> bytes:
    """One message as JSON (UTF-8).

    `data.profile.id` is the profile that entered or left, also where it became part of another one
    meanwhile: then the identifiers and traits are those of the other one. A person of whom
    nothing is known any more is told by the id alone.
    """
    person: dict[str, Any] = {"id": to_hex(attempt.profile_id)}
    if profile is not None:
        person["identifiers"] = [
            {"namespace": i.namespace, "value": i.value} for i in profile.identifiers
        ]
        person["traits"] = {
            trait.name: msgspec.Raw(trait.value)
            for trait in profile.traits
            if trait.name in destination.traits
        }
    return msgspec.json.encode(
        {
            "id": to_hex(attempt.effect_id),
            "type": _TYPES[attempt.trigger],
            "timestamp": to_rfc3339(attempt.at_us),
            "data": {
                "workspace": destination.workspace_id,
                "segment": attempt.segment_id,
                "ordinal": attempt.ordinal,
                "profile": person,
                "content": msgspec.Raw(destination.content),
            },
        }
    )
