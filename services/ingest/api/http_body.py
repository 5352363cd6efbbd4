"""The bytes of a request's body: read within a limit, and inflated within it.

What a body is packed with is seen from its first bytes: clients name their encoding wrongly, or not
at all, and no JSON starts like a packed stream.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable

import zstandard

from services.kernel.errors import InvalidField, TooLarge

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_ZLIB = b"\x78"
#: A larger window than this would let a small body ask for much memory, bytes.
_ZSTD_WINDOW = 8 << 20


class BadEncoding(InvalidField):
    """A body is packed and cannot be unpacked; `raw` is what came."""

    reason = "JSON_INVALID"


async def read_body(chunks: AsyncIterable[bytes], limit: int) -> bytes:
    """The whole of a body. Raises TooLarge as soon as it is over `limit` bytes."""
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        parts.append(chunk)
    return b"".join(parts)


def inflate(raw: bytes, encoding: str, limit: int) -> bytes:
    """A body as it was before it was packed with gzip, zlib, deflate or zstd; else as it is.

    `encoding` is the header Content-Encoding; only a deflate without a frame needs it. Raises
    TooLarge before more than `limit` bytes are unpacked, and BadEncoding.
    """
    try:
        if raw.startswith(_GZIP):
            return _inflate_zlib(raw, limit, 16 + zlib.MAX_WBITS)
        if raw.startswith(_ZSTD):
            return _inflate_zstd(raw, limit)
        if raw.startswith(_ZLIB):
            return _inflate_zlib(raw, limit, zlib.MAX_WBITS)
        if "deflate" in encoding.lower():
            return _inflate_zlib(raw, limit, -zlib.MAX_WBITS)
    except (zlib.error, zstandard.ZstdError):
        raise BadEncoding("the body is packed, but cannot be unpacked") from None
    return raw


def _inflate_zlib(raw: bytes, limit: int, window: int) -> bytes:
    parts: list[bytes] = []
    left = limit
    while raw:
        unpacker = zlib.decompressobj(window)
        part = unpacker.decompress(raw, left + 1)
        if len(part) > left:
            raise too_large(limit)
        if not unpacker.eof:
            raise BadEncoding("the body is packed, but its end is missing")
        parts.append(part)
        left -= len(part)
        raw = unpacker.unused_data  # gzip files may be joined
    return b"".join(parts)


def _inflate_zstd(raw: bytes, limit: int) -> bytes:
    unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    with unpacker.stream_reader(raw, read_across_frames=True) as reader:
        inflated = reader.read(limit + 1)
    if len(inflated) > limit:
        raise too_large(limit)
    return inflated


def too_large(limit: int) -> TooLarge:
    """The error of a body over the limit."""
    return TooLarge(f"the body has more than {limit} bytes: split it", limit=str(limit))
