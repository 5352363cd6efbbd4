"""Parses and formats identifiers and tokens in the text forms of command lines."""

from __future__ import annotations

from onefold.type.v1 import token_pb2
from onefold.type.v1.identifier_pb2 import Identifier

from services.chassis.codec.fields import token_from_proto, token_to_proto
from services.kernel.errors import InvalidField
from services.kernel.tokens import Token


def parse_identifier(text: str) -> Identifier:
    """Return the identifier of NAMESPACE:VALUE. Raises InvalidField."""
    namespace, colon, value = text.partition(":")
    if not colon:
        raise InvalidField(f"{text}: write NAMESPACE:VALUE, such as user_id:u-1")
    return Identifier(namespace=namespace, value=value)


def format_identifier(identifier: Identifier) -> str:
    """Return NAMESPACE:VALUE."""
    return f"{identifier.namespace}:{identifier.value}"


def parse_token(text: str) -> token_pb2.Token:
    """Return the token that `format_token` wrote. Raises InvalidField."""
    try:
        return token_to_proto(Token.parse(text))
    except ValueError:
        raise InvalidField(
            f"{text}: a token is one offset per shard, as the commands print it: 12.0.7.31"
        ) from None


def format_token(token: token_pb2.Token) -> str:
    """Return the offsets of a token, such as 12.0.7.31."""
    return str(token_from_proto(token))
