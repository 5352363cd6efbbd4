"""Translates destinations between the domain and DestinationDefined."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
from google.protobuf.message import DecodeError
from onefold.activation.v1 import activation_facts_pb2 as pb

from services.activation.domain import model
from services.activation.domain.model import Destination, SealedSecret, Trigger
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
    return _destination(workspace_id, message, _stored_webhook)


def destination_from_request(workspace_id: str, message: pb.DestinationDefined) -> Destination:
    """Return the destination of a request, with its secret in plain text. Raises InvalidField."""
    return _destination(workspace_id, message, _requested_webhook)


def _destination(
    workspace_id: str,
    message: pb.DestinationDefined,
    to_webhook: Callable[[pb.Webhook], model.Webhook],
) -> Destination:
    return Destination(
        WorkspaceId(workspace_id),
        message.destination_id,
        message.version,
        message.title,
        _channel(message, to_webhook),
        tuple(sorted(set(message.segment_ids))),
        frozenset(_trigger(number) for number in message.triggers),
        _canonical_content(message.content),
        tuple(sorted(set(message.traits))),
        message.retired,
    )


def destination_to_fact(destination: Destination) -> pb.DestinationDefined:
    """Return the DestinationDefined for the log.

    Raises TypeError for a secret that is not sealed: plain text must not be stored.
    """
    message = destination_to_response(destination)
    if isinstance(destination.channel, model.Webhook):
        secret = destination.channel.secret
        if not isinstance(secret, SealedSecret):
            raise TypeError("a secret is sealed before its destination is stored")
        message.webhook.sealed_secret.CopyFrom(
            pb.SealedSecret(
                key_version=secret.key_version, nonce=secret.nonce, ciphertext=secret.ciphertext
            )
        )
    return message


def destination_to_response(destination: Destination) -> pb.DestinationDefined:
    """Return the DestinationDefined of a destination without its secret, sealed or not."""
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
        case model.Webhook(url):
            message.webhook.url = url
        case model.NatsSubject(subject):
            message.nats.subject = subject
        case model.NdjsonFile(name):
            message.file.name = name
    return message


def _requested_webhook(message: pb.Webhook) -> model.Webhook:
    if message.HasField("sealed_secret"):
        raise InvalidField(
            "sealed_secret is internal; send the secret itself, or none to keep the current one",
            field="destination.webhook.sealed_secret",
        )
    return model.Webhook(message.url, message.secret)


def _stored_webhook(message: pb.Webhook) -> model.Webhook:
    sealed = message.sealed_secret
    secret = SealedSecret(sealed.key_version, sealed.nonce, sealed.ciphertext)
    return model.Webhook(message.url, secret)


def _channel(
    message: pb.DestinationDefined, to_webhook: Callable[[pb.Webhook], model.Webhook]
) -> model.Channel:
    match message.WhichOneof("channel"):
        case "webhook":
            return to_webhook(message.webhook)
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
