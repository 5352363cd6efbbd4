"""Defines ids: 16 bytes inside, 32 hexadecimal digits outside.

Ids of what names persons are derived with a secret, see `IndexKey`; the ids that are plain hashes
here name definitions, effects and other ids.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import NewType

from services.kernel.errors import InvalidField

WorkspaceId = NewType("WorkspaceId", str)
SourceId = NewType("SourceId", str)
IdentifierId = NewType("IdentifierId", bytes)
LeafId = NewType("LeafId", bytes)
ProfileId = NewType("ProfileId", bytes)
FactId = NewType("FactId", bytes)

_HEX_ID = re.compile("[0-9a-fA-F]{32}")
#: The id of no leaf and of no profile.
NO_ID = bytes(16)


def hash_id(*parts: str | bytes) -> bytes:
    """Return BLAKE2b-128 of the parts, each followed by a zero byte (16 bytes)."""
    encoded = [part.encode() if isinstance(part, str) else part for part in parts]
    return blake2b(b"\0".join((*encoded, b"")), digest_size=16).digest()


def definition_fact_id(workspace_id: str, kind: str, key: str, version: int) -> FactId:
    """Return the fact id of one version of a definition."""
    return FactId(hash_id(workspace_id, kind, key, str(version)))


def shard_of(leaf_id: bytes, shards: int) -> int:
    """Return the shard of a leaf or profile: its first 8 bytes modulo the number of shards."""
    if not 256 % shards:  # then only the last of the 8 bytes matters
        return leaf_id[7] % shards
    return int.from_bytes(leaf_id[:8], "big") % shards


def to_hex(id_: bytes) -> str:
    """Return the 32 hexadecimal digits of an id."""
    return id_.hex()


def from_hex(text: str) -> bytes:
    """Return the 16 bytes of an id.

    Raises ValueError if `text` is not 32 hexadecimal digits.
    """
    if not _HEX_ID.fullmatch(text):
        raise ValueError("an id has 32 hexadecimal digits")
    return bytes.fromhex(text)


def parse_id(text: str, field: str) -> bytes:
    """Return the 16 bytes of an id that a caller sent in `field`. Raises InvalidField."""
    try:
        return from_hex(text)
    except ValueError:
        raise InvalidField(f"{field} has 32 hexadecimal digits", field=field) from None
