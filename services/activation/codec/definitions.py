"""Translates destinations between the domain and DestinationDefined."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from google.protobuf.message import DecodeError
from onefold.activation.v1 import activation_facts_pb2 as pb

from services.activation.domain import model
from services.activation.domain.model import Destination, Trigger
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId

DESTINATION_DEFINED: str = pb.DestinationDefined.DESCRIPTOR.full_name


@lru_cache(maxsize=4_096)
def decode_destination(workspace_id: str, payload: bytes) -> Destination:
    """Return the destination of a serialised DestinationDefined. Raises InvalidField.

    Cached, as every batch reads the same few destinations.
    """
    try:
        message = pb.DestinationDefined.FromString(payload)
    except DecodeError:
        raise InvalidField("the payload is not a DestinationDefined", field="destination") from None
    return destination_from_proto(workspace_id, message)


def destination_from_proto(workspace_id: str, message: pb.DestinationDefined) -> Destination:
    """Return the destination of a DestinationDefined. Raises InvalidField."""
    return Destination(
        WorkspaceId(workspace_id),
        message.destination_id,
        message.version,
        message.title,
        _channel(message),
        tuple(sorted(set(message.segment_ids))),
        frozenset(_trigger(number) for number in message.triggers),
        _canonical_content(message.content),
        tuple(sorted(set(message.traits))),
        message.retired,
    )


def destination_to_proto(destination: Destination, *, with_secret: bool) -> pb.DestinationDefined:
    """Return the DestinationDefined of a destination; responses omit its secret."""
    message = pb.DestinationDefined(
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
        case model.Webhook(url, secret):
            message.webhook.url = url
            message.webhook.secret = secret if with_secret else ""
        case model.NatsSubject(subject):
            message.nats.subject = subject
        case model.NdjsonFile(name):
            message.file.name = name
    return message


def _channel(message: pb.DestinationDefined) -> model.Channel:
    match message.WhichOneof("channel"):
        case "webhook":
            return model.Webhook(message.webhook.url, message.webhook.secret)
        case "nats":
            return model.NatsSubject(message.nats.subject)
        case "file":
            return model.NdjsonFile(message.file.name)
        case _:
            raise InvalidField(
                "a destination needs a channel: webhook, nats or file", field="destination.channel"
            )


def _trigger(number: int) -> Trigger:
    try:
        return Trigger(number)
    except ValueError:
        raise InvalidField("a trigger is ENTERED or LEFT", field="destination.triggers") from None


def _canonical_content(raw: bytes) -> bytes:
    try:
        content = msgspec.json.decode(raw or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidField("content is a JSON object", field="destination.content") from None
    return msgspec.json.encode(content, order="sorted")
