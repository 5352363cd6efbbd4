"""Issues and hashes API keys, and finds the key of a request."""

from __future__ import annotations

import base64
import secrets
from hashlib import sha256
from typing import NamedTuple

from services.chassis.access.principal import Role

_MAX_KEY = 256
_SECRET_BYTES = 32
#: The characters of a key after `ofk_<role>_`: letters, digits, `_` and `-`.
SECRET_CHARACTERS = 43


class IssuedKey(NamedTuple):
    """A key, and the parts of it that the log stores. `key` is shown once and stored nowhere."""

    key: str
    key_id: str
    key_hash: bytes


def issue_key(role: Role) -> IssuedKey:
    """Return a new key with 256 random bits, such as `ofk_source_…`."""
    return identify_key(f"ofk_{role.name.lower()}_{secrets.token_urlsafe(_SECRET_BYTES)}")


def identify_key(key: str) -> IssuedKey:
    """Return a key with its id and its hash."""
    key_hash = hash_key(key)
    return IssuedKey(key, f"key_{key_hash[:8].hex()}", key_hash)


def hash_key(key: str) -> bytes:
    """Return the SHA-256 of a key. Its 256 random bits make salt and a slow hash needless."""
    return sha256(key.encode("utf-8", "replace")).digest()


def key_from_authorization(header: str | None) -> str | None:
    """Return the key in an `Authorization` header; None if there is none.

    It reads `Bearer KEY` and, as SDKs of the Segment specification send it, `Basic` with the key as
    user name and an empty password.
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
