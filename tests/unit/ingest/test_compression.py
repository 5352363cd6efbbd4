"""Tests that bodies are decompressed within a limit."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.codec.compression import BadEncoding
from services.ingest.codec.compression import decompress, decompress_start
from services.kernel.errors import TooLarge

LIMIT = 1_000


def raw_deflate(plain: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(plain) + compressor.flush()


@given(st.binary(max_size=LIMIT))
def test_every_compression_is_undone(plain: bytes) -> None:
    plain = b'{"a":' + plain[:900]
    assert decompress(plain, "gzip", LIMIT) == plain
    for packed in (gzip.compress(plain), zlib.compress(plain), zstandard.compress(plain)):
        assert decompress(packed, "", LIMIT) == plain
    assert decompress(raw_deflate(plain), "deflate", LIMIT) == plain


def test_concatenated_parts_are_joined() -> None:
    assert decompress(gzip.compress(b"ab") + gzip.compress(b"cd"), "", LIMIT) == b"abcd"
    assert decompress(zstandard.compress(b"ab") + zstandard.compress(b"cd"), "", LIMIT) == b"abcd"


@pytest.mark.parametrize("size", [LIMIT, LIMIT + 1, 10_000_000])
def test_limit_applies_to_the_decompressed_body(size: int) -> None:
    plain = b" " * size
    for packed in (gzip.compress(plain), zlib.compress(plain), zstandard.compress(plain)):
        if size <= LIMIT:
            assert decompress(packed, "", LIMIT) == plain
            continue
        with pytest.raises(TooLarge):
            decompress(packed, "", LIMIT)


@pytest.mark.parametrize(
    "packed", [gzip.compress(b"x" * 99, mtime=0), zstandard.compress(b"x" * 99)]
)
def test_corrupt_body_is_refused(packed: bytes) -> None:
    with pytest.raises(BadEncoding):
        decompress(packed[:4] + b"\xff" * 20, "", LIMIT)


def test_incomplete_body_is_refused() -> None:
    with pytest.raises(BadEncoding):
        decompress(gzip.compress(b"x" * 99)[:-8], "", LIMIT)


@given(
    raw=st.binary(max_size=2 * LIMIT),
    encoding=st.sampled_from(["", "gzip", "deflate", "br"]),
    at=st.integers(0, 2 * LIMIT),
    byte=st.binary(max_size=1),
)
def test_any_bytes_are_decompressed_or_refused(
    raw: bytes, encoding: str, at: int, byte: bytes
) -> None:
    """Random bytes behind each magic number, and compressed ones of which one byte is another."""
    starts = (b"", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x78\x9c")
    packed = (gzip.compress(raw), zlib.compress(raw), zstandard.compress(raw), raw_deflate(raw))
    damaged = (each[: at % len(each)] + byte + each[at % len(each) + 1 :] for each in packed)
    for body in (*(start + raw for start in starts), *damaged):
        plain = b""
        with suppress(BadEncoding, TooLarge):
            plain = decompress(body, encoding, LIMIT)
        assert len(plain) <= LIMIT


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, zstandard.compress, raw_deflate])
@given(plain=st.binary(max_size=3_000), end=st.integers(0, 3_000), limit=st.integers(0, 3_000))
def test_start_of_an_incomplete_body_is_a_start_of_the_whole(
    pack: Callable[[bytes], bytes], plain: bytes, end: int, limit: int
) -> None:
    plain = b"{" + plain
    start = decompress_start(pack(plain)[:end], "deflate", limit)
    assert len(start) <= limit
    if end > 10:
        assert plain.startswith(start)
    assert decompress_start(pack(plain), "deflate", limit) == plain[:limit]


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, zstandard.compress])
def test_start_of_a_bomb_is_bounded(pack: Callable[[bytes], bytes]) -> None:
    assert decompress_start(pack(b" " * 50_000_000), "", LIMIT) == b" " * LIMIT
