"""Bodies of requests: read and unpacked within a limit."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.api.http_body import BadEncoding, inflate, read_body
from services.kernel.errors import TooLarge

LIMIT = 1_000


def raw_deflate(plain: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(plain) + packer.flush()


@given(st.binary(max_size=LIMIT))
def test_every_packing_is_undone(plain: bytes) -> None:
    plain = b'{"a":' + plain[:900]
    assert inflate(plain, "gzip", LIMIT) == plain
    for packed in (gzip.compress(plain), zlib.compress(plain), zstandard.compress(plain)):
        assert inflate(packed, "", LIMIT) == plain
    assert inflate(raw_deflate(plain), "deflate", LIMIT) == plain


def test_joined_parts() -> None:
    assert inflate(gzip.compress(b"ab") + gzip.compress(b"cd"), "", LIMIT) == b"abcd"
    assert inflate(zstandard.compress(b"ab") + zstandard.compress(b"cd"), "", LIMIT) == b"abcd"


@pytest.mark.parametrize("size", [LIMIT, LIMIT + 1, 10_000_000])
def test_the_limit_is_of_what_is_unpacked(size: int) -> None:
    plain = b" " * size
    for packed in (gzip.compress(plain), zlib.compress(plain), zstandard.compress(plain)):
        if size <= LIMIT:
            assert inflate(packed, "", LIMIT) == plain
            continue
        with pytest.raises(TooLarge):
            inflate(packed, "", LIMIT)


@pytest.mark.parametrize(
    "packed", [gzip.compress(b"x" * 99, mtime=0), zstandard.compress(b"x" * 99)]
)
def test_broken(packed: bytes) -> None:
    with pytest.raises(BadEncoding):
        inflate(packed[:4] + b"\xff" * 20, "", LIMIT)


def test_cut_off() -> None:
    with pytest.raises(BadEncoding):
        inflate(gzip.compress(b"x" * 99)[:-8], "", LIMIT)


@given(st.binary(max_size=60), st.sampled_from(["", "gzip", "deflate", "br"]))
def test_any_bytes_have_an_answer(raw: bytes, encoding: str) -> None:
    for start in (b"", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x78\x9c"):
        try:
            inflate(start + raw, encoding, LIMIT)
        except (BadEncoding, TooLarge):
            continue


async def test_reading_ends_at_the_limit() -> None:
    given = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal given
        for _ in range(1_000):
            given += 100
            yield b"x" * 100

    with pytest.raises(TooLarge):
        await read_body(chunks(), LIMIT)
    assert given == LIMIT + 100
