"""Takes erased persons out of what was passed on."""

from __future__ import annotations

from collections.abc import Container

from onefold.segment.v1.segment_stream_pb2 import MembershipsChanged


def passed_without(payload: bytes, ids: Container[bytes]) -> bytes:
    """Return what was passed on without the events and moves of some leaves."""
    message = MembershipsChanged.FromString(payload)
    events = [one for one in message.matched_events if one.leaf_id not in ids]
    moves = [one for one in message.leaf_moves if one.leaf_id not in ids]
    return MembershipsChanged(matched_events=events, leaf_moves=moves).SerializeToString()
