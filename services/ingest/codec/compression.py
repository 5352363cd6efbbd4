"""Decompresses bodies within a size limit.

The compression is detected from the first bytes: clients declare the wrong encoding, or none, and
no JSON begins like a compressed stream.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress

import zstandard

from services.chassis.codec.compression import GZIP_WINDOW, corrupt, decompress_zlib, too_large

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_ZLIB = b"\x78"
#: With a larger window a small body could demand much memory, bytes.
_ZSTD_WINDOW = 8 << 20
_PIECE = 4096


def decompress(raw: bytes, encoding: str, limit: int) -> bytes:
    """Decompress gzip, zlib, deflate or zstd; return any other body as it is.

    `encoding` is the header Content-Encoding; only a deflate without a zlib header needs it. Raises
    TooLarge before more than `limit` bytes are decompressed, and BadEncoding.
    """
    window = _zlib_window(raw, encoding)
    if window is not None:
        return decompress_zlib(raw, limit, window)
    return _decompress_zstd(raw, limit) if raw.startswith(_ZSTD) else raw


def decompress_start(raw: bytes, encoding: str, limit: int) -> bytes:
    """Return at most `limit` bytes of the start of a body that may be incomplete or corrupt.

    It ends where the body cannot be decompressed any further.
    """
    window = _zlib_window(raw, encoding)
    if window is None and not raw.startswith(_ZSTD):
        return raw[:limit]
    pieces = _zstd_pieces(raw) if window is None else _zlib_pieces(raw, window)
    start = bytearray()
    # A corrupt body fails at one piece, and what was read before it counts.
    with suppress(zlib.error, zstandard.ZstdError):
        for piece in pieces:
            start += piece
            if len(start) >= limit:
                break
    return bytes(start[:limit])


def is_compressed(raw: bytes) -> bool:
    """Return whether a body begins like a compressed stream."""
    return raw.startswith((_GZIP, _ZSTD, _ZLIB))


def _zlib_window(raw: bytes, encoding: str) -> int | None:
    """Return the window bits for a body in a format of zlib; None for another body."""
    if raw.startswith(_GZIP):
        return GZIP_WINDOW
    if raw.startswith(_ZLIB):
        return zlib.MAX_WBITS
    if "deflate" in encoding.lower() and not raw.startswith(_ZSTD):
        return -zlib.MAX_WBITS
    return None


def _zlib_pieces(raw: bytes, window: int) -> Iterator[bytes]:
    decompressor = zlib.decompressobj(window)
    for index in range(0, len(raw), _PIECE):
        yield decompressor.decompress(raw[index : index + _PIECE], _PIECE)
        while decompressor.unconsumed_tail:
            yield decompressor.decompress(decompressor.unconsumed_tail, _PIECE)


def _zstd_pieces(raw: bytes) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    with decompressor.stream_reader(raw) as reader:
        while piece := reader.read(_PIECE):
            yield piece


def _decompress_zstd(raw: bytes, limit: int) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    with decompressor.stream_reader(raw, read_across_frames=True) as reader:
        try:
            body = reader.read(limit + 1)
        except zstandard.ZstdError:
            raise corrupt() from None
    if len(body) > limit:
        raise too_large(limit)
    return body
