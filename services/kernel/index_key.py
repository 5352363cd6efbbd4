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
from typing import NamedTuple, Protocol

from services.kernel.ids import FactId, IdentifierId

_SECRET_BYTES, _ID_BYTES = 32, 16
_TEXT = re.compile(r"([1-9]\d{0,3})\.([0-9a-f]{64})")
#: The workspaces whose keys are in memory.
_MAX_WORKSPACES = 1 << 12


class _Hash(Protocol):
    """A keyed hash that has hashed nothing yet."""

    def copy(self) -> _Hash: ...
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class _WorkspaceHashes(NamedTuple):
    """The keyed hashes of a workspace, one for each purpose.

    Equal bytes have unrelated ids for two purposes. The name of a field personalises its hash.
    """

    identifier: _Hash
    fact: _Hash
    quarantine: _Hash
    content: _Hash
    message: _Hash


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
        """Return 16 bytes that differ for every key and do not reveal it."""
        return blake2b(key=self._secret, digest_size=_ID_BYTES, person=b"check").digest()

    @property
    def signing_seed(self) -> bytes:
        """Return the 32 bytes that the installation signs with, which do not reveal the key."""
        return blake2b(key=self._secret, digest_size=32, person=b"signature").digest()

    def identifier_id(self, workspace_id: str, namespace: str, value: str) -> IdentifierId:
        """Return the id of an identifier in canonical form; a leaf is the id of an identifier."""
        data = f"{namespace}\0{value}".encode()
        return IdentifierId(_derive(self._hashes(workspace_id).identifier, data))

    def event_fact_id(
        self, workspace_id: str, source_id: str, message_id: str, leaf_id: bytes
    ) -> FactId:
        """Return the fact id of an event of a source, the same for every repetition."""
        data = f"{source_id}\0{message_id}\0".encode() + leaf_id
        return FactId(_derive(self._hashes(workspace_id).fact, data))

    def quarantine_id(self, workspace_id: str, parts: Sequence[str], raw: bytes) -> bytes:
        """Return the id of what a source sent; `parts` (no NUL) name the source and the refusal."""
        data = "\0".join((str(len(parts)), *parts, "")).encode() + raw
        return _derive(self._hashes(workspace_id).quarantine, data)

    def content_tag(self, workspace_id: str, content: bytes) -> bytes:
        """Return 16 bytes that are equal for equal contents of facts."""
        return _derive(self._hashes(workspace_id).content, content)

    def message_id(self, workspace_id: str, place: str) -> str:
        """Return the id of an event that has none, from the place where its message is stored."""
        return _derive(self._hashes(workspace_id).message, place.encode()).hex()

    def _make_hashes(self, workspace_id: str) -> _WorkspaceHashes:
        key = blake2b(workspace_id.encode(), key=self._secret, person=b"workspace").digest()
        return _WorkspaceHashes(
            *(
                blake2b(key=key, digest_size=_ID_BYTES, person=purpose.encode())
                for purpose in _WorkspaceHashes._fields
            )
        )


def _derive(empty: _Hash, data: bytes) -> bytes:
    """Return the keyed hash of some bytes. A copy costs as much as a hash without a key."""
    keyed = empty.copy()
    keyed.update(data)
    return keyed.digest()
