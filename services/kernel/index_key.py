"""Derives ids from values with a secret key, so that an id cannot be traced back to its value.

Phone numbers are few enough to try all of them, so a plain hash of one gives it away. An id under
a key (a blind index) is a pure function of workspace and value with the key, and means nothing
without it. The key is stored outside the database.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Protocol

from services.kernel.ids import FactId, IdentifierId

_SECRET_BYTES, _ID_BYTES = 32, 16
_TEXT = re.compile(r"([1-9]\d{0,3})\.([0-9a-f]{64})")
#: The workspaces whose keys are in memory.
_MAX_WORKSPACES = 1 << 12

#: Each purpose has ids of its own: the same bytes have unrelated ids as identifier and as fact.
_IDENTIFIER, _FACT, _QUARANTINE, _CONTENT = b"identifier", b"fact", b"quarantine", b"content"
_MESSAGE = b"message"


class _Hash(Protocol):
    """A keyed hash that has hashed nothing yet."""

    def copy(self) -> _Hash: ...
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class IndexKey:
    """The secret of an installation that its ids are derived with, and the secret's version.

    Every workspace has a key of its own, which is derived from the secret. Ids are BLAKE2b-128
    with this key and with the purpose of the id as personalisation (RFC 7693).
    """

    __slots__ = ("_hashes", "_secret", "version")

    def __init__(self, version: int, secret: bytes) -> None:
        """`secret` has 32 bytes."""
        if len(secret) != _SECRET_BYTES:
            raise ValueError(f"the secret of an index key has {_SECRET_BYTES} bytes")
        self.version = version
        self._secret = secret
        # A cached hash is copied for each id, which costs as much as a hash without a key.
        self._hashes = lru_cache(_MAX_WORKSPACES)(self._make_hashes)

    @classmethod
    def parse(cls, text: str) -> IndexKey:
        """Return the key that a text such as `1.<64 hexadecimal digits>` holds: version and secret.

        Raises ValueError, whose text does not quote the key.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(
                "an index key is a version, a dot and 64 hexadecimal digits in lower case,"
                " such as the output of: echo 1.$(openssl rand -hex 32)"
            )
        return cls(int(match[1]), bytes.fromhex(match[2]))

    @property
    def check(self) -> bytes:
        """Return 16 bytes that differ for every key and do not tell it."""
        return blake2b(key=self._secret, digest_size=_ID_BYTES, person=b"check").digest()

    def identifier_id(self, workspace_id: str, namespace: str, value: str) -> IdentifierId:
        """Return the id of an identifier in canonical form; a leaf is the id of an identifier."""
        keyed = self._hashes(workspace_id)[0].copy()
        keyed.update(f"{namespace}\0{value}".encode())
        return IdentifierId(keyed.digest())

    def event_fact_id(
        self, workspace_id: str, source_id: str, message_id: str, leaf_id: bytes
    ) -> FactId:
        """Return the fact id of an event of a source, the same for every repetition."""
        keyed = self._hashes(workspace_id)[1].copy()
        keyed.update(f"{source_id}\0{message_id}\0".encode() + leaf_id)
        return FactId(keyed.digest())

    def quarantine_id(self, workspace_id: str, parts: Sequence[str], raw: bytes) -> bytes:
        """Return the id of what a source sent; `parts` (no NUL) say where and why it is refused."""
        keyed = self._hashes(workspace_id)[2].copy()
        keyed.update("\0".join((str(len(parts)), *parts, "")).encode() + raw)
        return keyed.digest()

    def content_tag(self, workspace_id: str, content: bytes) -> bytes:
        """Return 16 bytes that are equal for equal contents of facts."""
        keyed = self._hashes(workspace_id)[3].copy()
        keyed.update(content)
        return keyed.digest()

    def message_id(self, workspace_id: str, place: str) -> str:
        """Return the id of an event that has none, from the place where its message is stored."""
        keyed = self._hashes(workspace_id)[4].copy()
        keyed.update(place.encode())
        return keyed.digest().hex()

    def _make_hashes(self, workspace_id: str) -> tuple[_Hash, _Hash, _Hash, _Hash, _Hash]:
        key = blake2b(workspace_id.encode(), key=self._secret, person=b"workspace").digest()
        identifier, fact, quarantine, content, message = (
            blake2b(key=key, digest_size=_ID_BYTES, person=purpose)
            for purpose in (_IDENTIFIER, _FACT, _QUARANTINE, _CONTENT, _MESSAGE)
        )
        return identifier, fact, quarantine, content, message
