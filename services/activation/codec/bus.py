"""Decodes the messages that segment publishes."""

from __future__ import annotations

from onefold.segment.v1 import segment_stream_pb2 as pb

from services.activation.domain.model import Trigger, TriggeringChange
from services.kernel.ids import ProfileId, WorkspaceId


def decode_memberships_changed(payload: bytes) -> pb.MembershipsChanged:
    """Return the message of a payload."""
    return pb.MembershipsChanged.FromString(payload)


def triggering_change(message: pb.MembershipChange) -> TriggeringChange:
    """Return the change that a message describes."""
    return TriggeringChange(
        WorkspaceId(message.workspace_id),
        message.segment_id,
        ProfileId(message.profile_id),
        Trigger.ENTERED if message.entered else Trigger.LEFT,
        message.ordinal,
        message.changed_at_us,
        message.cause == pb.MEMBERSHIP_CAUSE_MERGE,
    )
