"""Parses requests for a preview."""

from __future__ import annotations

from onefold.profile.v1 import profile_service_pb2 as pb

from services.kernel.errors import TooLarge
from services.kernel.ids import IdentifierId, ProfileId, parse_id

MAX_PROFILES = 10_000
MAX_IDENTIFIERS = 100_000


def hypothetical_profiles(
    request: pb.PreviewProfilesRequest,
) -> dict[ProfileId, list[IdentifierId]]:
    """Return the identifiers of each hypothetical profile. Raises InvalidField, TooLarge."""
    messages = request.profiles
    if len(messages) > MAX_PROFILES:
        limit = str(MAX_PROFILES)
        raise TooLarge(f"at most {limit} profiles a call; split it", limit=limit)
    if sum(len(message.identifier_ids) for message in messages) > MAX_IDENTIFIERS:
        limit = str(MAX_IDENTIFIERS)
        raise TooLarge(f"at most {limit} identifiers a call; split it", limit=limit)
    profiles: dict[ProfileId, list[IdentifierId]] = {}
    for index, message in enumerate(messages):
        field = f"profiles[{index}]"
        profile_id = ProfileId(parse_id(message.profile_id, f"{field}.profile_id"))
        profiles[profile_id] = [
            IdentifierId(parse_id(text, f"{field}.identifier_ids"))
            for text in message.identifier_ids
        ]
    return profiles
