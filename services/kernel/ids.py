"""Ids: 16 bytes inside, 32 hexadecimal digits outside."""

from __future__ import annotations

from hashlib import blake2b
from typing import NewType

from services.kernel.errors import InvalidField

WorkspaceId = NewType("WorkspaceId", str)
SourceId = NewType("SourceId", str)
IdentifierId = NewType("IdentifierId", bytes)
LeafId = NewType("LeafId", bytes)
ProfileId = NewType("ProfileId", bytes)
FactId = NewType("FactId", bytes)

#: Stands where a fact has no leaf or no profile.
NO_ID = bytes(16)


def hash_id(*parts: str | bytes) -> bytes:
    """BLAKE2b-128 of the parts, each ended by a zero byte (16 bytes)."""
    joined = b"\0".join(p.encode() if isinstance(p, str) else p for p in parts)
    return blake2b(joined + b"\0", digest_size=16).digest()


def hash_text(*parts: str) -> bytes:
    """What `hash_id` gives, at less cost, where all parts are text."""
    return blake2b(("\0".join(parts) + "\0").encode(), digest_size=16).digest()


def event_fact_id(workspace_id: str, source_id: str, message_id: str, leaf_id: bytes) -> FactId:
    """The id under which one event of a source is kept, however often it comes."""
    return FactId(
        blake2b(
            f"{workspace_id}\0{source_id}\0{message_id}\0".encode() + leaf_id, digest_size=16
        ).digest()
    )


def definition_fact_id(workspace_id: str, kind: str, key: str, version: int) -> FactId:
    """The id of one version of a definition."""
    return FactId(hash_id(workspace_id, kind, key, str(version)))


def shard_of(leaf_id: bytes, shards: int) -> int:
    """The shard of a leaf or profile: its first 8 bytes modulo the number of shards."""
    if not 256 % shards:  # the other bytes do not matter then
        return leaf_id[7] % shards
    return int.from_bytes(leaf_id[:8], "big") % shards


def to_hex(id_: bytes) -> str:
    """The form of an id outside."""
    return id_.hex()


def from_hex(text: str) -> bytes:
    """The 16 bytes of an id.

    Raises ValueError where `text` is not 32 hexadecimal digits.
    """
    if len(text) != 32:
        raise ValueError("an id has 32 hexadecimal digits")
    return bytes.fromhex(text)


def parse_id(text: str, field: str) -> bytes:
    """Return the 16 bytes of an id that a caller sent in `field`. Raises InvalidField."""
    try:
        return from_hex(text)
    except ValueError:
        raise InvalidField(f"{field} has 32 hexadecimal digits", field=field) from None
