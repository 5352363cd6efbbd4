"""Decodes the messages of profile, and encodes those of segment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from onefold.log.v1.log_pb2 import ClockTicked, Fact
from onefold.profile.v1 import profile_stream_pb2
from onefold.segment.v1 import segment_stream_pb2

from services.kernel.ids import ProfileId, WorkspaceId
from services.segment.domain.model import MembershipChange, ProfileEvaluation

CLOCK_TICKED: str = ClockTicked.DESCRIPTOR.full_name


def decode_profiles_changed(payload: bytes) -> profile_stream_pb2.ProfilesChanged:
    """Return the message of a payload."""
    return profile_stream_pb2.ProfilesChanged.FromString(payload)


def evaluation_from_proto(message: profile_stream_pb2.ProfileChange) -> ProfileEvaluation:
    """Return the evaluation that a message describes."""
    return ProfileEvaluation(
        WorkspaceId(message.workspace_id),
        ProfileId(message.profile_id),
        message.version,
        frozenset(message.true_predicates),
        ProfileId(message.merged_into) if message.merged_into else None,
        message.changed_at_us,
    )


def change_to_proto(change: MembershipChange) -> segment_stream_pb2.MembershipChange:
    """Return the message of a membership change."""
    return segment_stream_pb2.MembershipChange(
        workspace_id=change.workspace_id,
        segment_id=change.segment_id,
        segment_version=change.segment_version,
        profile_id=change.profile_id,
        entered=change.entered,
        ordinal=change.ordinal,
        changed_at_us=change.changed_at_us,
        cause=change.cause.value,  # type: ignore[arg-type]  # the numbers are the enum's
        other_profile_id=change.other_profile_id or b"",
    )


def encode_memberships_changed(
    shard: int,
    sequence: int,
    changes: Iterable[MembershipChange],
    broadcast_facts: Iterable[Any],
    *,
    log_offset: int,
    log_time_us: int,
) -> bytes:
    """Return the payload of one published message."""
    return segment_stream_pb2.MembershipsChanged(
        shard=shard,
        sequence=sequence,
        log_offset=log_offset,
        log_time_us=log_time_us,
        changes=map(change_to_proto, changes),
        broadcast_facts=broadcast_facts,
    ).SerializeToString()


def encode_from_history(
    shard: int, sequence: int, changes: Iterable[MembershipChange], facts: Iterable[bytes]
) -> bytes:
    """Return the payload of a message that the history replays; it has no log offset."""
    broadcast_facts = map(Fact.FromString, facts)
    return encode_memberships_changed(
        shard, sequence, changes, broadcast_facts, log_offset=0, log_time_us=0
    )
