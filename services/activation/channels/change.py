"""Reads the description of a change, for channels that keep a copy of memberships."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

#: The namespaces whose identifiers networks know people by.
EMAIL, PHONE = "email", "phone"


class ChangedIdentifier(msgspec.Struct, frozen=True):
    """An identifier of the profile, in canonical form."""

    namespace: str
    value: str


class ChangedProfile(msgspec.Struct, frozen=True):
    """The profile that entered or left."""

    id: str
    identifiers: tuple[ChangedIdentifier, ...] = ()
    traits: dict[str, Any] = {}

    def values(self, namespace: str) -> list[str]:
        """Return the identifiers of a namespace."""
        return [i.value for i in self.identifiers if i.namespace == namespace]


class ChangeData(msgspec.Struct, frozen=True):
    """What changed."""

    profile: ChangedProfile


class MembershipMessage(msgspec.Struct, frozen=True):
    """The description of a change, as every destination without texts gets it."""

    type: str
    data: ChangeData

    @property
    def has_entered(self) -> bool:
        return self.type == "segment.entered"

    @property
    def profile(self) -> ChangedProfile:
        return self.data.profile


def change_of(payload: bytes) -> MembershipMessage:
    """Return the change that a payload describes."""
    return msgspec.json.decode(payload, type=MembershipMessage)


def hashed(value: str) -> str:
    """Return the SHA-256 of an identifier as networks compare it: trimmed, in lower case."""
    return hashlib.sha256(value.strip().lower().encode()).hexdigest()
