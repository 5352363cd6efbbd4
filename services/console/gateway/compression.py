"""Compresses messages with gzip, and decompresses them within a limit."""

from __future__ import annotations

import gzip

import grpc

from services.chassis.codec.compression import GZIP_WINDOW, BadEncoding, decompress_zlib
from services.console.gateway.errors import CallFailed, invalid, too_large
from services.kernel.errors import TooLarge

GZIP, IDENTITY = "gzip", "identity"


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Return a message as it was before it was compressed.

    Raises CallFailed where it is corrupt or has more than `limit` bytes.
    """
    try:
        if encoding == GZIP:
            return decompress_zlib(body, limit, GZIP_WINDOW)
    except TooLarge:
        raise too_large(limit) from None
    except BadEncoding as error:
        raise invalid(str(error)) from None
    if len(body) > limit:
        raise too_large(limit)
    return body


def compress(body: bytes) -> bytes:
    """Return a message in the form of gzip; the same message has the same form."""
    return gzip.compress(body, 1, mtime=0)


def check_encoding(encoding: str) -> None:
    """Raise CallFailed where the encoding of a request is not supported."""
    if encoding not in ("", IDENTITY, GZIP):
        message = f"the encoding {encoding} is not supported: use {GZIP} or {IDENTITY}"
        raise CallFailed(grpc.StatusCode.UNIMPLEMENTED, message)
