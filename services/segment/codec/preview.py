"""What is asked of a preview, read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.kernel.errors import InvalidField, TooLarge
from services.kernel.ids import NO_ID, WorkspaceId
from services.segment.codec import bus as wire
from services.segment.domain.model import Standing

MOST_PREVIEWED = 20_000


def previewed_standings(workspace_id: WorkspaceId, messages: Sequence[Any]) -> list[Standing]:
    """How profiles would stand, whatever workspace is named. Raises InvalidField, TooLarge."""
    if len(messages) > MOST_PREVIEWED:
        limit = str(MOST_PREVIEWED)
        raise TooLarge(f"at most {limit} standings a call; split it", limit=limit)
    for index, message in enumerate(messages):
        field = f"standings[{index}]"
        if len(message.profile_id) != len(NO_ID):
            raise InvalidField("a profile id has 16 bytes", field=f"{field}.profile_id")
        if len(message.merged_into) not in (0, len(NO_ID)):
            raise InvalidField("a profile id has 16 bytes", field=f"{field}.merged_into")
    return [replace(wire.standing(m), workspace_id=workspace_id) for m in messages]
