"""Reads what both kinds of calls have in common: bodies, deadlines, and callers that leave."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from services.chassis.runtime.addresses import Network, client_address
from services.console.gateway.errors import Headers, invalid, too_large
from services.console.gateway.headers import metadata_of

T = TypeVar("T")

TIMEOUT = "connect-timeout-ms"
_TIMEOUT = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayLimits:
    """The limits of a call."""

    #: The most bytes of one message, before and after it is decompressed.
    message_bytes: int = 4 * 1024 * 1024
    #: The most bytes of all messages of a stream of requests together.
    stream_bytes: int = 16 * 1024 * 1024
    #: The most messages of a stream of requests.
    stream_messages: int = 10_000
    #: How long a call with one response may take where its caller names no timeout, seconds; None =
    #: as long as it takes.
    timeout_s: float | None = 60.0
    #: The least bytes of a message that is compressed.
    compressed_from: int = 1024
    #: The proxies whose X-Forwarded-For is believed.
    proxies: Sequence[Network] = ()


def content_type_of(request: Request) -> str:
    """Return the content type without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def accepts_gzip(accepted: str) -> bool:
    """Return whether a header that lists encodings lists gzip."""
    return any(part.partition(";")[0].strip() == "gzip" for part in accepted.split(","))


def address_of(request: Request, limits: GatewayLimits) -> str:
    """Return the address of the client, also behind proxies; empty where it has none."""
    peer = request.client.host if request.client else ""
    return client_address(peer, request.headers.get("x-forwarded-for", ""), limits.proxies)


def call_metadata(request: Request, limits: GatewayLimits) -> Headers:
    """Return the metadata of the call that a request makes. Raises CallFailed."""
    return metadata_of(request.headers.raw, address_of(request, limits))


def key_metadata(key: str, request: Request, limits: GatewayLimits) -> Headers:
    """Return the metadata of a call with a key, for the client of a request. Raises CallFailed."""
    return metadata_of([(b"authorization", f"Bearer {key}".encode())], address_of(request, limits))


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body of a request. Raises CallFailed where it has more than `limit` bytes."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise too_large(limit)
    return bytes(body)


def timeout_of(request: Request) -> float | None:
    """Return the seconds that a caller gives a call; None = it names none. Raises CallFailed."""
    text = request.headers.get(TIMEOUT)
    if text is None:
        return None
    if not _TIMEOUT.fullmatch(text):
        raise invalid(f"the header {TIMEOUT} must have at most ten digits")
    return int(text) / 1000


def message_of_query(request: Request) -> bytes:
    """Return the parameter `message` of a GET, as text or base64. Raises CallFailed."""
    text = request.query_params.get("message")
    if text is None:
        raise invalid("a GET needs the parameter `message`: the request, as text or as base64")
    if request.query_params.get("base64") != "1":
        return text.encode()
    try:
        padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise invalid("the parameter `message` is no base64 of the alphabet for URLs") from None


async def until_disconnect(receive: Receive, work: Awaitable[T]) -> T:
    """Return the result of `work`, which is cancelled where the caller leaves before.

    Call it when the body has been read. Raises ClientDisconnect.
    """
    working: Any = asyncio.current_task()
    has_left = False

    async def watch() -> None:
        nonlocal has_left
        while (await receive())["type"] != "http.disconnect":
            pass
        has_left = True
        working.cancel()

    leaving = asyncio.ensure_future(watch())
    try:
        return await work
    except asyncio.CancelledError:
        # Where something else cancels the task, too, the cancellation goes on.
        if not has_left or working.uncancel():
            raise
        raise ClientDisconnect from None
    finally:
        leaving.cancel()
