"""Decompresses what others have sent, within a limit."""

from __future__ import annotations

import zlib

from services.kernel.errors import InvalidField, TooLarge

#: Of `decompress_zlib`, for gzip.
GZIP_WINDOW = 16 + zlib.MAX_WBITS


class BadEncoding(InvalidField):
    """A compressed body that cannot be decompressed."""

    reason = "JSON_INVALID"


def decompress_zlib(raw: bytes, limit: int, window: int) -> bytes:
    """Return what a body in a format of zlib was; gzip files can be concatenated.

    `window`: the window bits, which name the format. Raises TooLarge before more than `limit` bytes
    are decompressed, and BadEncoding.
    """
    parts: list[bytes] = []
    remaining = limit
    while raw:
        decompressor = zlib.decompressobj(window)
        try:
            part = decompressor.decompress(raw, remaining + 1)
        except zlib.error:
            raise corrupt() from None
        if len(part) > remaining:
            raise too_large(limit)
        if not decompressor.eof:
            raise BadEncoding("the compressed body is incomplete: send it again")
        parts.append(part)
        remaining -= len(part)
        raw = decompressor.unused_data
    return b"".join(parts)


def corrupt() -> BadEncoding:
    """Return the error of a body that is not compressed as it begins."""
    return BadEncoding("the compressed body is corrupt: send it again")


def too_large(limit: int) -> TooLarge:
    """Return the error of a body over the limit."""
    return TooLarge(f"the body has more than {limit} bytes: split it", limit=str(limit))
