"""Sets of leaf ids, packed: 16 bytes each, ascending, one after the other.

A set of ten thousand is read and written with a state as one string of bytes, and equal sets are
equal bytes.
"""

from __future__ import annotations

_SIZE = 16


def with_id(packed: bytes, id_: bytes) -> bytes:
    """The set with one more id; the same object where it is in there."""
    low, high = 0, len(packed) // _SIZE
    while low < high:
        middle = (low + high) // 2
        if packed[_SIZE * middle : _SIZE * middle + _SIZE] < id_:
            low = middle + 1
        else:
            high = middle
    at = _SIZE * low
    if packed[at : at + _SIZE] == id_:
        return packed
    return packed[:at] + id_ + packed[at:]


def joined_ids(a: bytes, b: bytes) -> bytes:
    """The ids of both sets."""
    if not a or not b:
        return a or b
    return b"".join(sorted({*split_ids(a), *split_ids(b)}))


def split_ids(packed: bytes) -> list[bytes]:
    """The ids, ascending."""
    return [packed[at : at + _SIZE] for at in range(0, len(packed), _SIZE)]
