"""What is asked of a preview, read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.kernel.errors import InvalidField, TooLarge
from services.kernel.ids import NO_ID, IdentifierId, ProfileId, parse_id

MOST_PREVIEWED = 10_000
MOST_PREVIEWED_IDENTIFIERS = 100_000


def previewed_people(messages: Sequence[Any]) -> dict[ProfileId, list[IdentifierId]]:
    """The profiles that there would be, with their identifiers. Raises InvalidField, TooLarge."""
    if len(messages) > MOST_PREVIEWED:
        limit = str(MOST_PREVIEWED)
        raise TooLarge(f"at most {limit} people a call; split it", limit=limit)
    if sum(len(message.identifier_ids) for message in messages) > MOST_PREVIEWED_IDENTIFIERS:
        limit = str(MOST_PREVIEWED_IDENTIFIERS)
        raise TooLarge(f"at most {limit} identifiers a call; split it", limit=limit)
    people: dict[ProfileId, list[IdentifierId]] = {}
    for index, message in enumerate(messages):
        field = f"people[{index}]"
        if any(len(id_) != len(NO_ID) for id_ in message.identifier_ids):
            raise InvalidField("an identifier id has 16 bytes", field=f"{field}.identifier_ids")
        profile_id = ProfileId(parse_id(message.profile_id, f"{field}.profile_id"))
        people[profile_id] = [IdentifierId(id_) for id_ in message.identifier_ids]
    return people
