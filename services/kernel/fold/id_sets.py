"""Packs sets of ids into bytes, as leaves have them.

A set is 16 bytes an id, ascending. So ten thousand ids are loaded and saved with their state as one
string of bytes, and equal sets are equal bytes.
"""

from __future__ import annotations

from collections.abc import Collection

_ID_BYTES = 16


def add_id(packed: bytes, id_: bytes) -> bytes:
    """Return the set with one more id; the same object if the set has it already."""
    low, high = 0, len(packed) // _ID_BYTES
    while low < high:
        middle = (low + high) // 2
        if packed[_ID_BYTES * middle : _ID_BYTES * middle + _ID_BYTES] < id_:
            low = middle + 1
        else:
            high = middle
    offset = _ID_BYTES * low
    if packed[offset : offset + _ID_BYTES] == id_:
        return packed
    return packed[:offset] + id_ + packed[offset:]


def combine_ids(a: bytes, b: bytes) -> bytes:
    """Return the union of two sets."""
    if not a or not b:
        return a or b
    return b"".join(sorted({*split_ids(a), *split_ids(b)}))


def replace_ids(packed: bytes, replaced: Collection[bytes], by: bytes) -> bytes:
    """Return the set with one id in the place of some others, if it has any of them."""
    ids = split_ids(packed)
    left = [id_ for id_ in ids if id_ not in replaced]
    return packed if len(left) == len(ids) else b"".join(sorted({*left, by}))


def split_ids(packed: bytes) -> list[bytes]:
    """Return the ids of a set, ascending."""
    return [packed[start : start + _ID_BYTES] for start in range(0, len(packed), _ID_BYTES)]
