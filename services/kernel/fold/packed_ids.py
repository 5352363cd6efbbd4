"""Packs sets of leaf ids into bytes: 16 bytes each, ascending, one after the other.

A set of ten thousand ids is loaded and saved with its state as one string of bytes, and equal sets
are equal bytes.
"""

from __future__ import annotations

_SIZE = 16


def add_id(packed: bytes, id_: bytes) -> bytes:
    """Return the set with one more id; the same object if the set has it already."""
    low, high = 0, len(packed) // _SIZE
    while low < high:
        middle = (low + high) // 2
        if packed[_SIZE * middle : _SIZE * middle + _SIZE] < id_:
            low = middle + 1
        else:
            high = middle
    offset = _SIZE * low
    if packed[offset : offset + _SIZE] == id_:
        return packed
    return packed[:offset] + id_ + packed[offset:]


def combine_ids(a: bytes, b: bytes) -> bytes:
    """Return the union of two sets."""
    if not a or not b:
        return a or b
    return b"".join(sorted({*split_ids(a), *split_ids(b)}))


def split_ids(packed: bytes) -> list[bytes]:
    """Return the ids of a set, ascending."""
    return [packed[start : start + _SIZE] for start in range(0, len(packed), _SIZE)]
