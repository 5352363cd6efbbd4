"""Compresses messages with gzip, and decompresses them within a limit."""

from __future__ import annotations

import gzip
import zlib

import grpc

from services.console.gateway.errors import CallFailed, invalid, too_large

GZIP, IDENTITY = "gzip", "identity"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Return a message as it was before it was compressed.

    Raises CallFailed where it is corrupt or has more than `limit` bytes.
    """
    if encoding in ("", IDENTITY) or not body:
        plain = body
    else:
        reader = zlib.decompressobj(_GZIP_WINDOW)
        try:
            plain = reader.decompress(body, limit + 1)
        except zlib.error:
            raise invalid("the message is not compressed as its encoding says") from None
        if not reader.eof and len(plain) <= limit:
            raise invalid("the compressed message is incomplete")
    if len(plain) > limit:
        raise too_large(limit)
    return plain


def compress(body: bytes) -> bytes:
    """Return a message in the form of gzip; the same message has the same form."""
    return gzip.compress(body, 1, mtime=0)


def check_encoding(encoding: str) -> None:
    """Raise CallFailed where the encoding of a request is not supported."""
    if encoding not in ("", IDENTITY, GZIP):
        message = f"the encoding {encoding} is not supported: use {GZIP} or {IDENTITY}"
        raise CallFailed(grpc.StatusCode.UNIMPLEMENTED, message)
