"""Passes headers of HTTP on as metadata of gRPC, and metadata back as headers."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator

from services.chassis.access.rights import UNMASK_KEY
from services.chassis.rpc.guard import FORWARDED_KEY
from services.console.gateway.errors import Headers, invalid

_BINARY = "-bin"
_AUTHORIZATION = "authorization"
#: What gRPC takes as a name.
_NAME = re.compile(r"[a-z0-9_.-]+")
#: Headers of the transport, of the protocol and of browsers, which say nothing to a service.
_NOT_PASSED = frozenset(
    {
        *("accept", "accept-charset", "accept-encoding", "accept-language", "cache-control"),
        *("connection", "content-length", "content-encoding", "content-type", "cookie", "date"),
        *("dnt", "expect", "forwarded", "host", "keep-alive", "origin", "pragma", "priority"),
        *("referer", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "via"),
        "upgrade-insecure-requests",
    }
)
#: Metadata that belong to calls of the services: no caller of the gateway may send them.
_PREFIXES_NOT_PASSED = ("onefold-", "connect-", "grpc-", "sec-", "proxy-", "x-forwarded-", ":")
#: Metadata of gRPC that the protocol of the gateway has its own words for.
_NOT_RETURNED = ("grpc-", "content-type", "te", "user-agent", ":")


def metadata_of(headers: Iterable[tuple[bytes, bytes]], address: str) -> Headers:
    """Return what a service gets of a request: its headers and the client's address.

    Raises CallFailed.
    """
    passed: list[tuple[str, str | bytes]] = [(FORWARDED_KEY, address)] if address else []
    for raw_name, raw_value in headers:
        name = raw_name.decode("latin-1").lower()
        if name != UNMASK_KEY and (name in _NOT_PASSED or name.startswith(_PREFIXES_NOT_PASSED)):
            continue
        value = raw_value.decode("latin-1")
        if not _NAME.fullmatch(name) or not (value.isascii() and value.isprintable()):
            if name == _AUTHORIZATION:
                raise invalid("the header authorization has characters that no key has")
            if name == UNMASK_KEY:
                raise invalid(f"the header {name} has other characters than ASCII: percent-encode")
            # gRPC carries no such header, and a service needs none.
            continue
        passed.append((name, _from_base64(name, value) if name.endswith(_BINARY) else value))
    return passed


def headers_of(metadata: Headers, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield metadata of a response as headers, with `prefix` before each name."""
    for name, value in metadata:
        if not name.startswith(_NOT_RETURNED):
            yield f"{prefix}{name}", _to_text(value)


def trailers_by_name(metadata: Headers) -> dict[str, list[str]]:
    """Return metadata as the object that ends a stream of Connect."""
    found: dict[str, list[str]] = {}
    for name, value in headers_of(metadata):
        found.setdefault(name, []).append(value)
    return found


def _from_base64(name: str, value: str) -> bytes:
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        raise invalid(f"the header {name} is no base64") from None


def _to_text(value: str | bytes) -> str:
    return value if isinstance(value, str) else base64.b64encode(value).decode().rstrip("=")
