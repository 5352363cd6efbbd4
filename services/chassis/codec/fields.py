"""Translates the fields that many messages share: tokens, page sizes and page tokens."""

from __future__ import annotations

import base64
import struct
from typing import Any

from onefold.type.v1 import token_pb2

from services.kernel.as_of import AsOf
from services.kernel.errors import InvalidField
from services.kernel.tokens import Token

#: The last microsecond of the year 9998: its neighbours have dates in all zones.
MAX_INSTANT_US = 253_370_764_799_999_999
DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 50, 1_000


def token_to_proto(token: Token) -> token_pb2.Token:
    """Return the message of a token."""
    return token_pb2.Token(offsets=token.offsets)


def token_from_proto(message: token_pb2.Token) -> Token:
    """Return the token of a message."""
    return Token(tuple(message.offsets))


def at_least_of(request: Any) -> Token | None:
    """Return the token in the field `at_least` of a request; None where it is not set."""
    return token_from_proto(request.at_least) if request.HasField("at_least") else None


def as_of_of(request: Any) -> AsOf | None:
    """Return the past in the fields `as_of` of a request; None for now. Raises InvalidField."""
    match request.WhichOneof("as_of"):
        case "as_of_token":
            return AsOf(token_from_proto(request.as_of_token))
        case "as_of_us":
            if not 0 < request.as_of_us <= MAX_INSTANT_US:
                raise InvalidField(
                    "send an instant after 1970, in Unix microseconds", field="as_of_us"
                )
            return AsOf(occurred_until_us=request.as_of_us)
        case _:
            return None


def page_size_of(request: Any) -> int:
    """Return the page size of a request, 50 where it is 0. Raises InvalidField above 1,000."""
    if request.page_size > MAX_PAGE_SIZE:
        raise InvalidField(f"page_size is at most {MAX_PAGE_SIZE}", field="page_size")
    return int(request.page_size) or DEFAULT_PAGE_SIZE


class PageToken:
    """One list's page token: the sort key of the last entry of a page, opaque to callers.

    `layout` is a format of `struct` for the key, such as `q16s` for (instant, id).
    """

    def __init__(self, layout: str) -> None:
        self._layout = struct.Struct(f">{layout}")

    def encode(self, *key: Any) -> str:
        """Return the token of the page that begins after `key`."""
        return base64.urlsafe_b64encode(self._layout.pack(*key)).rstrip(b"=").decode()

    def decode(self, text: str) -> tuple[Any, ...] | None:
        """Return the key after which the page begins; None where `text` is empty.

        Raises InvalidField where `text` is no token of this list.
        """
        if not text:
            return None
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
            return self._layout.unpack(raw)
        except (ValueError, struct.error):
            raise InvalidField(
                "page_token is the next_page_token of an earlier response", field="page_token"
            ) from None
