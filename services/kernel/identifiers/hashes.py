"""Normalises digests of values that the sender does not reveal: `email_sha256`, `imei_md5`.

A namespace that ends in `_md5`, `_sha1`, `_sha256` or `_sha512` has digests as values. The hashed
value cannot be read, but the digests of the usual placeholders are known.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from functools import cache, partial

from services.kernel.identifiers.model import PLACEHOLDERS

#: Hexadecimal digits of each algorithm.
_LENGTHS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
#: The hash algorithms that the name of a namespace may end in.
HASH_ALGORITHMS = tuple(_LENGTHS)
_HEX = re.compile(r"[0-9a-f]+")


def normalize_hash(namespace: str) -> Callable[[str, str], str | None] | None:
    """Return the normaliser of a namespace of digests; None for other namespaces."""
    algorithm = hash_algorithm_of(namespace)
    return partial(_digest, algorithm) if algorithm else None


def hash_algorithm_of(namespace: str) -> str:
    """Return the hash algorithm of a namespace; empty if its values are not digests."""
    plain, _, last = namespace.rpartition("_")
    return last if plain and last in _LENGTHS else ""


def _digest(algorithm: str, value: str, region: str) -> str | None:
    lowered = value.lower()
    if len(lowered) != _LENGTHS[algorithm] or not _HEX.fullmatch(lowered):
        return None
    return None if len(set(lowered)) < 3 or lowered in _placeholder_digests(algorithm) else lowered


@cache
def _placeholder_digests(algorithm: str) -> frozenset[str]:
    return frozenset(
        hashlib.new(algorithm, text.encode(), usedforsecurity=False).hexdigest()
        for text in _placeholder_values()
    )


def _placeholder_values() -> Iterator[str]:
    for word in PLACEHOLDERS:
        yield from (word, word.upper(), word.capitalize(), f" {word}", f"{word}\n")
    for digit in "0", "1", "9":
        yield from (digit * count for count in range(1, 33))
    yield from ("+86", "86", "+8613800138000", "8613800138000", "13800138000")
    yield from ("02:00:00:00:00:00", "020000000000", "00:00:00:00:00:00")
