"""Translates tokens between the kernel's type and protobuf messages."""

from __future__ import annotations

from typing import Any

from onefold.type.v1 import token_pb2

from services.kernel.tokens import Token


def token_to_proto(token: Token) -> token_pb2.Token:
    """Return the message of a token."""
    return token_pb2.Token(offsets=token.offsets)


def token_from_proto(message: token_pb2.Token) -> Token:
    """Return the token of a message."""
    return Token(tuple(message.offsets))


def at_least_of(request: Any) -> Token | None:
    """Return the token in the field `at_least` of a request; None where it is not set."""
    return token_from_proto(request.at_least) if request.HasField("at_least") else None
