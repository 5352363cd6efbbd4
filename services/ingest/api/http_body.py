"""Reads and decompresses a request body within a size limit.

The compression is detected from the first bytes: clients declare the wrong encoding, or none, and
no JSON begins like a compressed stream.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable

import zstandard

from services.kernel.errors import InvalidField, TooLarge

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_ZLIB = b"\x78"
#: With a larger window a small body could demand much memory, bytes.
_ZSTD_WINDOW = 8 << 20


class BadEncoding(InvalidField):
    """A compressed body that cannot be decompressed."""

    reason = "JSON_INVALID"


async def read_body(chunks: AsyncIterable[bytes], limit: int) -> bytes:
    """Return a whole body. Raises TooLarge as soon as it has more than `limit` bytes."""
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        parts.append(chunk)
    return b"".join(parts)


def decompress(raw: bytes, encoding: str, limit: int) -> bytes:
    """Decompress gzip, zlib, deflate or zstd; return any other body as it is.

    `encoding` is the header Content-Encoding; only a deflate without a zlib header needs it. Raises
    TooLarge before more than `limit` bytes are decompressed, and BadEncoding.
    """
    try:
        if raw.startswith(_GZIP):
            return _decompress_zlib(raw, limit, 16 + zlib.MAX_WBITS)
        if raw.startswith(_ZSTD):
            return _decompress_zstd(raw, limit)
        if raw.startswith(_ZLIB):
            return _decompress_zlib(raw, limit, zlib.MAX_WBITS)
        if "deflate" in encoding.lower():
            return _decompress_zlib(raw, limit, -zlib.MAX_WBITS)
    except (zlib.error, zstandard.ZstdError):
        raise BadEncoding("the compressed body is corrupt: send it again") from None
    return raw


def _decompress_zlib(raw: bytes, limit: int, window: int) -> bytes:
    parts: list[bytes] = []
    remaining = limit
    while raw:
        decompressor = zlib.decompressobj(window)
        part = decompressor.decompress(raw, remaining + 1)
        if len(part) > remaining:
            raise too_large(limit)
        if not decompressor.eof:
            raise BadEncoding("the compressed body is incomplete: send it again")
        parts.append(part)
        remaining -= len(part)
        raw = decompressor.unused_data  # gzip files can be concatenated
    return b"".join(parts)


def _decompress_zstd(raw: bytes, limit: int) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    with decompressor.stream_reader(raw, read_across_frames=True) as reader:
        body = reader.read(limit + 1)
    if len(body) > limit:
        raise too_large(limit)
    return body


def too_large(limit: int) -> TooLarge:
    """Return the error of a body over the limit."""
    return TooLarge(f"the body has more than {limit} bytes: split it", limit=str(limit))
