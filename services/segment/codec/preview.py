"""Decodes and checks the hypothetical evaluations of a preview."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onefold.profile.v1.profile_stream_pb2 import ProfileChange

from services.kernel.errors import InvalidField, TooLarge
from services.kernel.ids import NO_ID, WorkspaceId
from services.segment.codec.bus import evaluation_from_proto
from services.segment.domain.model import ProfileEvaluation

MAX_PREVIEWED = 20_000


def hypothetical_evaluations(
    workspace_id: WorkspaceId, messages: Sequence[ProfileChange]
) -> list[ProfileEvaluation]:
    """Return evaluations in the caller's workspace, whatever workspace the messages have.

    Raises InvalidField, TooLarge.
    """
    if len(messages) > MAX_PREVIEWED:
        limit = str(MAX_PREVIEWED)
        raise TooLarge(f"at most {limit} evaluations a call; split the request", limit=limit)
    for index, message in enumerate(messages):
        field = f"evaluations[{index}]"
        if len(message.profile_id) != len(NO_ID):
            raise InvalidField("a profile id has 16 bytes", field=f"{field}.profile_id")
        if len(message.merged_into) not in (0, len(NO_ID)):
            raise InvalidField("a profile id has 16 bytes", field=f"{field}.merged_into")
    return [replace(evaluation_from_proto(m), workspace_id=workspace_id) for m in messages]
