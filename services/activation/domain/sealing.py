"""Seals secrets of destinations with AES-256-GCM, under keys that the database does not have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.activation.domain.channel_settings import SealedSecret
from services.activation.domain.channels import Channel, name_of, secret_names, secrets_of
from services.kernel.ids import WorkspaceId

NONCE_BYTES = 12
_KEY = re.compile(r"([1-9]\d{0,3})\.([0-9a-f]{64})")


class SecretNotReadable(Exception):
    """A sealed secret cannot be opened; the message names the cause, and no secret."""


class SecretPlace(NamedTuple):
    """Where a secret belongs: it opens in this place only."""

    workspace_id: WorkspaceId
    destination_id: str
    #: The channel and its setting, such as `webhook.secret`.
    setting: str

    def to_bytes(self) -> bytes:
        """Return the bytes that are authenticated; no two places have the same."""
        parts = (part.encode() for part in self)
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


class SecretKeys:
    """The keys by version. The newest one seals, and each one opens what it has sealed."""

    __slots__ = ("_hash_key", "_keys", "newest")

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        """`keys`: 32 bytes each, by version; at least one."""
        self.newest = max(keys)
        self._keys = {version: AESGCM(key) for version, key in keys.items()}
        self._hash_key = blake2b(keys[self.newest], digest_size=32, person=b"hashes").digest()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse keys such as `1.<64 hexadecimal digits>`, separated by commas.

        Raises ValueError, whose text does not quote a key.
        """
        keys: dict[int, bytes] = {}
        for part in text.split(","):
            match = _KEY.fullmatch(part.strip())
            if match is None or int(match[1]) in keys:
                raise ValueError(
                    "the keys of secrets are versions from 1 up, each once, each with a dot and 64"
                    " hexadecimal digits in lower case, separated by commas, such as the output"
                    " of: echo 1.$(openssl rand -hex 32)"
                )
            keys[int(match[1])] = bytes.fromhex(match[2])
        return cls(keys)

    @property
    def hash_key(self) -> bytes:
        """A key of 32 bytes for hashes that cannot be computed without it; the newest decides.

        What it was used for is stored, so an older one is never needed.
        """
        return self._hash_key

    def seal(self, place: SecretPlace, secret: str, nonce: bytes) -> SealedSecret:
        """Seal a secret for its place. `nonce`: 12 random bytes, never used before."""
        ciphertext = self._keys[self.newest].encrypt(nonce, secret.encode(), place.to_bytes())
        return SealedSecret(self.newest, nonce, ciphertext)

    def open(self, place: SecretPlace, sealed: SealedSecret) -> str:
        """Return the secret that was sealed for this place. Raises SecretNotReadable."""
        key = self._keys.get(sealed.key_version)
        if key is None:
            raise SecretNotReadable(
                f"the secret is sealed under key version {sealed.key_version}, which the service"
                " does not have"
            )
        try:
            return key.decrypt(sealed.nonce, sealed.ciphertext, place.to_bytes()).decode()
        except (InvalidTag, ValueError):
            raise SecretNotReadable(
                f"the secret does not open under key version {sealed.key_version}; define the"
                " destination with its secret again"
            ) from None

    def open_all(
        self, workspace_id: WorkspaceId, destination_id: str, channel: Channel
    ) -> dict[str, str]:
        """Return the secrets of a channel by the names of their settings; "" = it has none.

        Raises SecretNotReadable, and TypeError for a secret that is not sealed.
        """
        opened = dict.fromkeys(secret_names(type(channel)), "")
        for name, secret in secrets_of(channel).items():
            if not isinstance(secret, SealedSecret):
                raise TypeError("the secrets of a stored destination are sealed")
            place = SecretPlace(workspace_id, destination_id, f"{name_of(channel)}.{name}")
            opened[name] = self.open(place, secret)
        return opened
