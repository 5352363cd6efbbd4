"""Protobuf to domain and back; the only file of this room that knows both."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from google.protobuf.message import DecodeError
from onefold.activation.v1 import activation_facts_pb2 as facts_pb
from onefold.activation.v1 import activation_service_pb2 as service_pb
from onefold.log.v1 import log_pb2
from onefold.segment.v1 import segment_stream_pb2

from services.activation.domain.model import (
    Change,
    Channel,
    Destination,
    NatsSubject,
    NdjsonFile,
    State,
    Trigger,
    Webhook,
)
from services.kernel.errors import InvalidField
from services.kernel.ids import ProfileId, WorkspaceId, hash_id, to_hex

DESTINATION_DEFINED: str = facts_pb.DestinationDefined.DESCRIPTOR.full_name
DELIVERY_ENDED: str = facts_pb.DeliveryEnded.DESCRIPTOR.full_name


def memberships_changed(payload: bytes) -> segment_stream_pb2.MembershipsChanged:
    """The message of the bus."""
    return segment_stream_pb2.MembershipsChanged.FromString(payload)


def change(told: segment_stream_pb2.MembershipChange) -> Change:
    """One change of membership."""
    return Change(
        WorkspaceId(told.workspace_id),
        told.segment_id,
        ProfileId(told.profile_id),
        Trigger.ENTERED if told.entered else Trigger.LEFT,
        told.ordinal,
        told.at_us,
        told.cause == segment_stream_pb2.MEMBERSHIP_CAUSE_MERGE,
    )


@lru_cache(maxsize=4_096)
def destination(workspace_id: str, message: bytes) -> Destination:
    """The destination that a serialised DestinationDefined holds. Raises InvalidField.

    Remembered, as the same few are asked for with every batch.
    """
    try:
        told = facts_pb.DestinationDefined.FromString(message)
    except DecodeError:
        raise InvalidField("it is no DestinationDefined", field="destination") from None
    return destination_from(workspace_id, told)


def destination_from(workspace_id: str, told: facts_pb.DestinationDefined) -> Destination:
    """The destination that a DestinationDefined holds. Raises InvalidField."""
    return Destination(
        WorkspaceId(workspace_id),
        told.destination_id,
        told.version,
        told.title,
        _channel(told),
        tuple(sorted(set(told.segment_ids))),
        frozenset(_trigger(number) for number in told.triggers),
        _content(told.content),
        tuple(sorted(set(told.traits))),
        told.retired,
    )


def destination_message(
    destination: Destination, *, with_secret: bool
) -> facts_pb.DestinationDefined:
    """The DestinationDefined of a destination; without its secret for those who read it."""
    message = facts_pb.DestinationDefined(
        destination_id=destination.destination_id,
        title=destination.title,
        segment_ids=destination.segment_ids,
        triggers=sorted(t.value for t in destination.triggers),  # type: ignore[misc]  # the enum's numbers
        content=destination.content,
        traits=destination.traits,
        version=destination.version,
        retired=destination.retired,
    )
    match destination.channel:
        case Webhook(url, secret):
            message.webhook.url = url
            message.webhook.secret = secret if with_secret else ""
        case NatsSubject(subject):
            message.nats.subject = subject
        case NdjsonFile(name):
            message.file.name = name
    return message


def delivery(row: Any) -> service_pb.Delivery:
    """One row of the ledger."""
    waits = row["state"] in (State.PENDING, State.UNKNOWN)
    return service_pb.Delivery(
        effect_id=to_hex(row["effect_id"]),
        destination_id=row["destination_id"],
        segment_id=row["segment_id"],
        profile_id=to_hex(row["profile_id"]),
        trigger=row["trigger"],
        ordinal=row["ordinal"],
        state=row["state"],
        attempts=row["attempts"],
        reason=row["reason"],
        created_at_us=row["at_us"],
        next_attempt_us=int(row["due"] * 1_000_000) if waits else 0,
    )


def delivery_ended(row: Any, actor: str) -> log_pb2.Fact:
    """The fact that an effect came to its end."""
    ended = facts_pb.DeliveryEnded(
        effect_id=to_hex(row["effect_id"]),
        destination_id=row["destination_id"],
        segment_id=row["segment_id"],
        profile_id=to_hex(row["profile_id"]),
        state=row["state"],
        attempts=row["attempts"],
        reason=row["reason"],
    )
    # A dead effect that is tried again ends again; its attempts tell the ends apart.
    key = hash_id(row["workspace_id"], DELIVERY_ENDED, row["effect_id"], str(row["attempts"]))
    return log_pb2.Fact(
        workspace_id=row["workspace_id"],
        fact_id=key,
        kind=DELIVERY_ENDED,
        leaf_id=row["profile_id"],
        actor=actor,
        payload=ended.SerializeToString(),
    )


def _channel(told: facts_pb.DestinationDefined) -> Channel:
    match told.WhichOneof("channel"):
        case "webhook":
            return Webhook(told.webhook.url, told.webhook.secret)
        case "nats":
            return NatsSubject(told.nats.subject)
        case "file":
            return NdjsonFile(told.file.name)
        case _:
            raise InvalidField(
                "a destination needs a channel: webhook, nats or file", field="destination.channel"
            )


def _trigger(number: int) -> Trigger:
    try:
        return Trigger(number)
    except ValueError:
        raise InvalidField("a trigger is ENTERED or LEFT", field="destination.triggers") from None


def _content(raw: bytes) -> bytes:
    try:
        content = msgspec.json.decode(raw or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidField("content is a JSON object", field="destination.content") from None
    return msgspec.json.encode(content, order="sorted")
