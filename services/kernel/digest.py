"""Computes digests of a state: order-independent, updated row by row.

The digest of a set of rows is the sum of BLAKE2b-128 of each row's canonical bytes, modulo 2^128
(an additive set hash in the manner of AdHash, Bellare and Micciancio, 1997). It detects accidental
differences; it does not resist constructed collisions.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

MODULUS = 1 << 128
_SIZES = tuple(size.to_bytes(4, "big") for size in range(256))


def row_digest(*parts: str | bytes) -> int:
    """Return the share of a row, 0 <= share < 2^128. Parts are length-prefixed, so unambiguous."""
    framed: list[bytes] = []
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        size = len(raw)
        framed.append(_SIZES[size] if size < len(_SIZES) else size.to_bytes(4, "big"))
        framed.append(raw)
    return int.from_bytes(blake2b(b"".join(framed), digest_size=16).digest(), "big")


def digest_of(rows: Iterable[int], start: int = 0) -> int:
    """Return `start` plus the digest of the rows with these shares."""
    return (start + sum(rows)) % MODULUS


def to_hex(digest: int) -> str:
    """Return 32 hexadecimal digits."""
    return f"{digest % MODULUS:032x}"
