"""Decodes the payloads of facts."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from services.kernel.errors import InvalidField

M = TypeVar("M", bound=Message)


def decode_payload(kind: type[M], payload: bytes, field: str = "payload") -> M:
    """Return the message of a payload. Raises InvalidField, which names the field."""
    try:
        return kind.FromString(payload)
    except DecodeError:
        name = kind.DESCRIPTOR.name
        raise InvalidField(f"the payload is not a {name}", field=field) from None
