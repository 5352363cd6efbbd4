"""Keys: made, hashed, and found in a request."""

from __future__ import annotations

import base64
import secrets
from hashlib import sha256
from typing import NamedTuple

from services.chassis.access.principal import Role

_MAX_KEY = 256
_SECRET_BYTES = 32


class IssuedKey(NamedTuple):
    """A new key. `key` is shown once and kept nowhere."""

    key: str
    key_id: str
    key_hash: bytes


def issue_key(role: Role) -> IssuedKey:
    """A new key with 256 random bits, such as `ofk_source_…`."""
    key = f"ofk_{role.name.lower()}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    key_hash = hash_key(key)
    return IssuedKey(key, f"key_{key_hash[:8].hex()}", key_hash)


def hash_key(key: str) -> bytes:
    """SHA-256. Keys have 256 random bits, so it needs neither salt nor slowness."""
    return sha256(key.encode("utf-8", "replace")).digest()


def key_from_authorization(header: str | None) -> str | None:
    """The key in an `Authorization` header; None where there is none.

    Understands `Bearer KEY` and, as the SDKs of the Segment specification send it, `Basic` with
    the key as user name and an empty password.
    """
    scheme, _, credentials = (header or "").strip().partition(" ")
    scheme, credentials = scheme.lower(), credentials.strip()
    if scheme == "basic":
        credentials = _user_name(credentials)
    elif scheme != "bearer":
        return None
    return credentials if 0 < len(credentials) <= _MAX_KEY else None


def _user_name(encoded: str) -> str:
    try:
        decoded = base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return ""
    return decoded.partition(":")[0]
