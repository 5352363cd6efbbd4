"""Declares the settings of channels: their forms, and which of them are secrets or targets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, TypeAlias

#: By the name of its form: the expression of a setting, and what it says.
FORMS: dict[str, tuple[re.Pattern[str], str]] = {
    "text": (re.compile(r"[^\x00-\x1f\x7f]{1,2048}"), "is a text without line breaks"),
    "word": (re.compile(r"[!-~]{1,512}"), "has letters, digits and signs without spaces"),
    "name": (re.compile(r"[A-Za-z0-9_.-]{1,128}"), "has letters, digits, '_', '.' and '-'"),
    "path": (
        re.compile(r"[A-Za-z0-9_.-][A-Za-z0-9_./-]{0,511}"),
        "has letters, digits, '_', '.', '-' and '/', and no '/' at its start",
    ),
    "url": (re.compile(r"https?://[!-~]{1,2000}"), "is an http or https URL with a host"),
    "https": (re.compile(r"https://[!-~]{1,2000}"), "is an https URL"),
    "host": (re.compile(r"[A-Za-z0-9._:-]{1,253}"), "is a host name, such as smtp.x.example"),
    "email": (
        re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,253}"),
        "is an e-mail address, such as shop@x.example",
    ),
    "security": (re.compile("starttls|tls|none"), "is starttls, tls or none"),
    "pem": (
        re.compile(
            r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[A-Za-z0-9+/=\s]{1,8000}-----END"
            r" [A-Z ]{0,20}PRIVATE KEY-----\s{0,9}"
        ),
        "is a private key as PEM",
    ),
    "tls_or_none": (re.compile("tls|none"), "is tls or none"),
    "number": (re.compile(r"[0-9]{1,20}"), "has digits alone"),
    "brokers": (
        re.compile(r"[A-Za-z0-9._:, \[\]-]{3,2000}"),
        "is HOST:PORT, or up to ten of them separated by commas",
    ),
    "topic": (re.compile(r"[A-Za-z0-9._-]{1,249}"), "has letters, digits, '_', '.' and '-'"),
    "mechanism": (
        re.compile("SCRAM-SHA-512|SCRAM-SHA-256|PLAIN"),
        "is SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN",
    ),
    "ssh_key": (
        re.compile(r"(?:ssh|ecdsa)-[a-z0-9-]{1,40} [A-Za-z0-9+/]{16,1900}={0,2}"),
        "is a public key of SSH, such as `ssh-ed25519 AAAA…` (see `ssh-keyscan HOST`)",
    ),
    "folder": (re.compile(r"[^\x00-\x1f\x7f]{1,512}"), "is a folder without line breaks"),
    "table": (
        re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]{0,62}\.)?[A-Za-z_][A-Za-z0-9_]{0,62}"),
        "is TABLE or SCHEMA.TABLE, of letters, digits and '_'",
    ),
    "secret": (re.compile(r"[!-~]{1,4096}"), "has letters, digits and signs without spaces"),
}


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A secret, encrypted under a key that the database does not have."""

    #: The version of that key.
    key_version: int
    #: 12 bytes.
    nonce: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)


#: Sealed, as it is stored and published; plain text only between a request and its sealing.
#: Excluded from every text that is made of a channel.
Secret: TypeAlias = SealedSecret | str


def needed(form: str = "word", *, target: bool = False) -> Any:
    """Declare a setting that has to be there; `target`: whether it decides who receives."""
    return field(default="", metadata={"form": form, "needed": True, "target": target})


def optional(form: str = "word", *, target: bool = False) -> Any:
    """Declare a setting that may be empty."""
    return field(default="", metadata={"form": form, "target": target})


def secret(form: str = "secret", *, needed: bool = True, used_with: str = "") -> Any:
    """Declare a secret; `used_with`: the setting without which it is of no use."""
    metadata = {"form": form, "needed": needed, "secret": True, "used_with": used_with}
    return field(default="", repr=False, metadata=metadata)


def endpoint_url() -> Any:
    """Declare the URL of an API, which may be empty."""
    return optional("url", target=True)
