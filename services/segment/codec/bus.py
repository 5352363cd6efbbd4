"""Protobuf to domain and back; the only file of this room that knows both."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.message import DecodeError
from onefold.log.v1.log_pb2 import ClockTicked, Fact
from onefold.profile.v1 import profile_stream_pb2
from onefold.segment.v1 import segment_facts_pb2, segment_stream_pb2

from services.chassis.codec.rules import rule_from_proto, rule_to_proto
from services.kernel.errors import InvalidField
from services.kernel.ids import ProfileId, WorkspaceId
from services.segment.domain.model import Cause, Change, Definition, Standing

CLOCK_TICKED: str = ClockTicked.DESCRIPTOR.full_name
SEGMENT_DEFINED: str = segment_facts_pb2.SegmentDefined.DESCRIPTOR.full_name


def profiles_changed(payload: bytes) -> profile_stream_pb2.ProfilesChanged:
    """The message of the bus."""
    return profile_stream_pb2.ProfilesChanged.FromString(payload)


def standing(change: profile_stream_pb2.ProfileChange) -> Standing:
    """How one profile stands now."""
    return Standing(
        WorkspaceId(change.workspace_id),
        ProfileId(change.profile_id),
        change.version,
        frozenset(change.true_predicates),
        ProfileId(change.merged_into) if change.merged_into else None,
        change.at_us,
    )


def definition(workspace_id: str, message: bytes) -> Definition:
    """The definition that a serialised SegmentDefined holds. Raises InvalidField."""
    try:
        told = segment_facts_pb2.SegmentDefined.FromString(message)
    except DecodeError:
        raise InvalidField("it is no SegmentDefined", field="segment") from None
    return definition_from(workspace_id, told)


def definition_from(workspace_id: str, told: segment_facts_pb2.SegmentDefined) -> Definition:
    """The definition that a SegmentDefined holds.

    Raises InvalidField where the rule cannot be read.
    """
    return Definition(
        WorkspaceId(workspace_id),
        told.segment_id,
        told.version,
        told.title,
        rule_from_proto(told.rule, "segment.rule"),
        told.retired,
    )


def definition_message(definition: Definition) -> segment_facts_pb2.SegmentDefined:
    """The SegmentDefined of a definition."""
    return segment_facts_pb2.SegmentDefined(
        segment_id=definition.segment_id,
        title=definition.title,
        rule=rule_to_proto(definition.rule),
        version=definition.version,
        retired=definition.retired,
    )


def change_message(change: Change, ordinal: int) -> segment_stream_pb2.MembershipChange:
    """One announcement."""
    return segment_stream_pb2.MembershipChange(
        workspace_id=change.workspace_id,
        segment_id=change.segment_id,
        segment_version=change.segment_version,
        profile_id=change.profile_id,
        entered=change.entered,
        ordinal=ordinal,
        at_us=change.at_us,
        cause=change.cause.value,  # type: ignore[arg-type]  # the numbers are the enum's
        other_profile_id=change.other_profile_id or b"",
    )


def history_message(row: Any) -> segment_stream_pb2.MembershipChange:
    """One announcement as kept in the history."""
    return segment_stream_pb2.MembershipChange(
        workspace_id=row["workspace_id"],
        segment_id=row["segment_id"],
        segment_version=row["segment_version"],
        profile_id=row["profile_id"],
        entered=row["entered"],
        ordinal=row["ordinal"],
        at_us=row["at_us"],
        cause=Cause(row["cause"]).value,  # type: ignore[arg-type]  # the numbers are the enum's
        other_profile_id=row["other_profile_id"] or b"",
    )


def memberships_changed(
    shard: int,
    sequence: int,
    log_offset: int,
    log_time_us: int,
    changes: Iterable[segment_stream_pb2.MembershipChange],
    facts: Sequence[Any],
) -> bytes:
    """The serialised message of the bus."""
    return segment_stream_pb2.MembershipsChanged(
        shard=shard,
        sequence=sequence,
        log_offset=log_offset,
        log_time_us=log_time_us,
        changes=changes,
        broadcast_facts=facts,
    ).SerializeToString()


def retold(shard: int, sequence: int, facts: Iterable[bytes], rows: Iterable[Any]) -> bytes:
    """A message of the bus made of what was kept for ever; how far the log was is not told."""
    read = Fact.FromString
    changes = map(history_message, rows)
    return memberships_changed(shard, sequence, 0, 0, changes, [read(raw) for raw in facts])


def pack_ids(ids: Iterable[int]) -> bytes:
    """Predicate ids as 8 bytes each, ascending."""
    ordered = sorted(ids)
    return struct.pack(f">{len(ordered)}Q", *ordered)


def unpack_ids(packed: bytes) -> frozenset[int]:
    """The ids that `pack_ids` packed."""
    return frozenset(struct.unpack(f">{len(packed) // 8}Q", packed))
