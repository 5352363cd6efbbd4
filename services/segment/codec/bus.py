"""Decodes the messages and hypothetical evaluations of profile, and encodes segment's messages."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from onefold.log.v1.log_pb2 import ClockTicked, Fact
from onefold.profile.v1 import profile_stream_pb2 as profile_pb
from onefold.segment.v1 import segment_stream_pb2 as pb

from services.kernel.errors import InvalidField, TooLarge
from services.kernel.ids import NO_ID, ProfileId, WorkspaceId
from services.segment.domain.model import (
    EarlierEvent,
    EarlierState,
    MembershipChange,
    ProfileEvaluation,
)

CLOCK_TICKED: str = ClockTicked.DESCRIPTOR.full_name
_ProfilesChanged = profile_pb.ProfilesChanged
#: The bus takes at most a mebibyte.
MAX_PASSED_BYTES = 500_000
#: Evaluations in one preview.
MAX_PREVIEWED = 20_000


def split_at_facts(messages: Sequence[profile_pb.ProfilesChanged], kinds: Collection[str]) -> int:
    """Return how many messages are before the first one with a fact of some kinds.

    The first message of all counts as one without.
    """
    for at, message in enumerate(messages):
        if at and any(fact.kind in kinds for fact in message.broadcast_facts):
            return at
    return len(messages)


def decode_profiles_changed(payload: bytes) -> profile_pb.ProfilesChanged:
    """Return the message of a payload."""
    return profile_pb.ProfilesChanged.FromString(payload)


def dropped_predicates(message: Any) -> Sequence[int]:
    """Return the predicates that a message drops; a page of current evaluations drops none."""
    return message.dropped_predicates if isinstance(message, _ProfilesChanged) else ()


def evaluation_from_proto(message: profile_pb.ProfileChange) -> ProfileEvaluation:
    """Return the evaluation that a message describes."""
    return ProfileEvaluation(
        WorkspaceId(message.workspace_id),
        ProfileId(message.profile_id),
        message.version,
        frozenset(message.true_predicates),
        ProfileId(message.merged_into) if message.merged_into else None,
        message.changed_at_us,
        message.by_time,
        tuple(
            EarlierState(frozenset(state.true_predicates), state.changed_at_us)
            for state in message.passed
        ),
        message.occurred_at_us if message.HasField("occurred_at_us") else None,
        tuple(
            EarlierEvent(frozenset(state.true_predicates), state.occurred_at_us)
            for state in message.by_event
        ),
        message.erased,
    )


def hypothetical_evaluations(
    workspace_id: WorkspaceId, messages: Sequence[profile_pb.ProfileChange]
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
    return [evaluation_from_proto(m)._replace(workspace_id=workspace_id) for m in messages]


def change_to_proto(change: MembershipChange) -> pb.MembershipChange:
    """Return the message of a membership change."""
    message = pb.MembershipChange()
    _fill_change(message, change)
    return message


def _fill_change(message: Any, change: MembershipChange) -> None:
    """Fill an empty message; keyword arguments would cost twice as much."""
    workspace_id, segment_id, version, profile_id, entered, changed_at_us, cause, *more = change
    other_profile_id, ordinal, occurred_at_us = more
    message.workspace_id = workspace_id
    message.segment_id = segment_id
    message.segment_version = version
    message.profile_id = profile_id
    message.entered = entered
    message.ordinal = ordinal
    message.changed_at_us = changed_at_us
    message.cause = cause
    if other_profile_id:
        message.other_profile_id = other_profile_id
    message.occurred_at_us = changed_at_us if occurred_at_us is None else occurred_at_us


def passed_on(messages: Iterable[profile_pb.ProfilesChanged]) -> list[bytes]:
    """Return what is passed on for journeys: as few serialised messages as the bus can take."""
    parts: list[pb.MembershipsChanged] = []
    size = MAX_PASSED_BYTES
    for message in messages:
        for name in ("matched_events", "leaf_moves"):
            for part in getattr(message, name):
                part_size = part.ByteSize() + 8
                if size + part_size > MAX_PASSED_BYTES:
                    parts.append(pb.MembershipsChanged())
                    size = 0
                getattr(parts[-1], name).append(part)
                size += part_size
    return [part.SerializeToString() for part in parts]


def encode_memberships_changed(
    shard: int,
    sequence: int,
    changes: Iterable[MembershipChange],
    broadcast_facts: Iterable[Any],
    passed: bytes = b"",
    *,
    log_offset: int,
    log_time_us: int,
) -> bytes:
    """Return the payload of one published message; `passed` as `passed_on` returns it."""
    message = pb.MembershipsChanged(
        shard=shard,
        sequence=sequence,
        log_offset=log_offset,
        log_time_us=log_time_us,
        broadcast_facts=broadcast_facts,
    )
    add = message.changes.add
    for change in changes:
        _fill_change(add(), change)
    # Parts of a serialised message may follow each other.
    return message.SerializeToString() + passed


def encode_from_history(
    shard: int,
    sequence: int,
    changes: Iterable[MembershipChange],
    facts: Iterable[bytes],
    passed: Iterable[bytes] = (),
) -> bytes:
    """Return the payload of a message that the history replays; it has no log offset."""
    broadcast_facts = map(Fact.FromString, facts)
    return encode_memberships_changed(
        shard, sequence, changes, broadcast_facts, b"".join(passed), log_offset=0, log_time_us=0
    )
