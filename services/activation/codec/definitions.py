"""Translates destinations between the domain and DestinationDefined."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import msgspec
from onefold.activation.v1 import activation_facts_pb2 as pb

from services.activation.codec.templates import json_object
from services.activation.domain.channel_settings import SealedSecret
from services.activation.domain.channels import (
    CHANNELS,
    Channel,
    name_of,
    secret_names,
    secrets_of,
    with_secrets,
)
from services.activation.domain.model import Destination, Trigger
from services.chassis.codec.payloads import decode_payload
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId

DESTINATION_DEFINED: str = pb.DestinationDefined.DESCRIPTOR.full_name


@lru_cache(maxsize=4_096)
def decode_destination(workspace_id: str, payload: bytes) -> Destination:
    """Return the destination of a serialised DestinationDefined. Raises InvalidField.

    Cached, as every batch reads the same few destinations.
    """
    message = decode_payload(pb.DestinationDefined, payload, "destination")
    sealed = {
        name: SealedSecret(each.key_version, each.nonce, each.ciphertext)
        for name, each in message.sealed_secrets.items()
    }
    channel = _channel(message)
    names = secret_names(type(channel))
    return _destination(
        workspace_id, message, with_secrets(channel, {name: sealed.get(name, "") for name in names})
    )


def destination_from_request(workspace_id: str, message: pb.DestinationDefined) -> Destination:
    """Return the destination of a request, with its secrets in plain text. Raises InvalidField."""
    if message.sealed_secrets:
        raise InvalidField(
            "sealed_secrets are internal; send the secrets themselves, or none to keep the current"
            " ones",
            field="destination.sealed_secrets",
        )
    return _destination(workspace_id, message, _channel(message))


def _destination(
    workspace_id: str, message: pb.DestinationDefined, channel: Channel
) -> Destination:
    return Destination(
        WorkspaceId(workspace_id),
        message.destination_id,
        message.version,
        message.title,
        channel,
        tuple(sorted(set(message.segment_ids))),
        frozenset(_trigger(number) for number in message.triggers),
        _canonical_content(message.content),
        tuple(sorted(set(message.traits))),
        message.retired,
        message.template_id,
        message.address,
    )


def destination_to_fact(destination: Destination) -> pb.DestinationDefined:
    """Return the DestinationDefined for the log.

    Raises TypeError for a secret that is not sealed: plain text must not be stored.
    """
    message = destination_to_response(destination)
    message.ClearField("secret_names")
    for name, secret in secrets_of(destination.channel).items():
        if not isinstance(secret, SealedSecret):
            raise TypeError("a secret is sealed before its destination is stored")
        message.sealed_secrets[name].CopyFrom(
            pb.SealedSecret(
                key_version=secret.key_version, nonce=secret.nonce, ciphertext=secret.ciphertext
            )
        )
    return message


def destination_to_response(destination: Destination) -> pb.DestinationDefined:
    """Return the DestinationDefined of a destination without its secrets, sealed or not."""
    channel = destination.channel
    message = pb.DestinationDefined(
        destination_id=destination.destination_id,
        title=destination.title,
        segment_ids=destination.segment_ids,
        triggers=sorted(t.value for t in destination.triggers),  # type: ignore[misc]  # the enum's numbers
        content=destination.content,
        traits=destination.traits,
        version=destination.version,
        retired=destination.retired,
        template_id=destination.template_id,
        address=destination.address,
        secret_names=sorted(secrets_of(channel)),
    )
    settings = getattr(message, name_of(channel))
    settings.SetInParent()
    hidden = secret_names(type(channel))
    for field in dataclasses.fields(channel):
        if field.name not in hidden:
            setattr(settings, field.name, getattr(channel, field.name))
    return message


def _channel(message: pb.DestinationDefined) -> Channel:
    name = message.WhichOneof("channel")
    kind = CHANNELS.get(name or "")
    if name is None or kind is None:
        raise InvalidField(
            f"a destination needs a channel: one of {', '.join(CHANNELS)}",
            field="destination.channel",
        )
    settings = getattr(message, name)
    return kind(**{field.name: getattr(settings, field.name) for field in dataclasses.fields(kind)})


def _trigger(number: int) -> Trigger:
    try:
        return Trigger(number)
    except ValueError:
        raise InvalidField("a trigger is ENTERED or LEFT", field="destination.triggers") from None


def _canonical_content(raw: bytes) -> bytes:
    return msgspec.json.encode(json_object(raw, "destination.content"), order="sorted")
