"""Parses and formats identifiers and tokens in the text forms of command lines."""

from __future__ import annotations

import base64
import re
from typing import Any

from onefold.type.v1 import token_pb2
from onefold.type.v1.identifier_pb2 import Identifier

from services.chassis.codec.fields import token_from_proto, token_to_proto
from services.chassis.rpc.sealing import SEALED_PREFIX
from services.kernel.errors import InvalidField
from services.kernel.tokens import Token

#: A text with so many digits and no letter is shown as a phone number.
_DIGITS = 7
_PROFILE_ID = re.compile(r"[0-9a-fA-F]{32}")


def parse_identifier(text: str) -> Identifier:
    """Return the identifier of NAMESPACE:VALUE. Raises InvalidField."""
    namespace, colon, value = text.partition(":")
    if not colon:
        raise InvalidField(f"{text}: write NAMESPACE:VALUE, such as {_with_namespace(text)}")
    return Identifier(namespace=namespace, value=value)


def profile_selector(text: str) -> dict[str, Any]:
    """Return the field of a request that names a profile: NAMESPACE:VALUE, or a profile id.

    Raises InvalidField.
    """
    if ":" in text:
        return {"identifier": parse_identifier(text)}
    if _PROFILE_ID.fullmatch(text) is None:
        raise InvalidField(
            f"{text}: write NAMESPACE:VALUE, such as {_with_namespace(text)}, or a profile id of 32"
            " hexadecimal digits"
        )
    return {"profile_id": text}


def _with_namespace(text: str) -> str:
    """Return what a text without a namespace probably means."""
    if "@" in text:
        return f"email:{text}"
    if sum(map(str.isdigit, text)) >= _DIGITS and not any(map(str.isalpha, text)):
        return f"phone:{text}"
    return f"user_id:{text}"


def format_identifier(identifier: Identifier) -> str:
    """Return NAMESPACE:VALUE."""
    return f"{identifier.namespace}:{identifier.value}"


def parse_token(text: str) -> token_pb2.Token:
    """Return the token that `format_token` wrote. Raises InvalidField."""
    try:
        if text.startswith(SEALED_PREFIX):
            return token_pb2.Token(sealed=base64.b64decode(text[len(SEALED_PREFIX) :], b"-_", True))
        return token_to_proto(Token.parse(text))
    except ValueError:
        raise InvalidField(
            f"{text}: write a token as the commands print it, such as 12.0.7.31 or"
            f" {SEALED_PREFIX}AbC…"
        ) from None


def format_token(token: token_pb2.Token) -> str:
    """Return the offsets of a token, such as 12.0.7.31, or the text of a sealed one."""
    if token.sealed:
        return SEALED_PREFIX + base64.urlsafe_b64encode(token.sealed).decode()
    return str(token_from_proto(token))
