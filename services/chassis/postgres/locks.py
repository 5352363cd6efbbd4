"""Computes the keys of advisory locks.

A lock of two 32-bit keys is named by its purpose and a number, such as a shard. A lock of one
64-bit key protects one of many items, such as a profile, in a space of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b


def lock_class(name: str) -> int:
    """Return the first key of the two-key locks with this name (32 bits, signed)."""
    return _hash(name, 4)


def lock_keys(space: str, ids: Iterable[bytes]) -> list[int]:
    """Return the one-key locks (64 bits, signed) of items, in the order in which to take them.

    `ids` have 8 bytes or more, of which the first 8 count. Two items may share a key.
    """
    salt = _hash(space, 8)
    return sorted({int.from_bytes(id_[:8], "big", signed=True) ^ salt for id_ in ids})


@lru_cache
def _hash(name: str, size: int) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=size).digest(), "big", signed=True)
