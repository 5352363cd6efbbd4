"""Makes the tokens in links that strangers open: of mails, and for the door of receipts.

A token is encrypted and authenticated under the keys of activation, so it reveals nothing, needs no
row, and never ends. The same content has the same token under one key.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import msgspec

from services.activation.domain.channel_settings import SealedSecret
from services.activation.domain.sealing import (
    NONCE_BYTES,
    SecretKeys,
    SecretNotReadable,
    SecretPlace,
)
from services.kernel.ids import WorkspaceId, hash_id

_TOKEN: Final = re.compile(r"([1-9]\d{0,3})\.([A-Za-z0-9_-]{20,3000})")
_ANY: Final = WorkspaceId("")


class DoorToken(msgspec.Struct, frozen=True, array_like=True):
    """Lets a provider report what became of the messages of a destination."""

    workspace_id: str
    destination_id: str


class UnsubscribeToken(msgspec.Struct, frozen=True, array_like=True):
    """Lets the person who got a message withdraw the consent for messages like it."""

    workspace_id: str
    destination_id: str
    #: The key of the message.
    key: str
    purpose: str
    channel: str
    #: An identifier of the person.
    namespace: str
    value: str


class TrackingToken(msgspec.Struct, frozen=True, array_like=True):
    """Lets the opening of a mail, or of a link in it, be counted, and names the link's target.

    The target is a part of the token, so the door leads nowhere else.
    """

    workspace_id: str
    destination_id: str
    #: The key of the message.
    key: str
    #: The number of the link in the message, from 1; 0 = the picture that a reader loads.
    link: int = 0
    #: The URL of the link.
    target: str = ""


class LinkTokens:
    """Seals and opens tokens."""

    def __init__(self, keys: SecretKeys) -> None:
        self._keys = keys

    def seal(self, token: DoorToken | UnsubscribeToken | TrackingToken) -> str:
        """Return a token as the text in a link."""
        text = msgspec.json.encode(token)
        # One content has one nonce, so no nonce serves two contents.
        nonce = hash_id("link", text)[:NONCE_BYTES]
        sealed = self._keys.seal(_place(type(token)), text.decode(), nonce)
        packed = urlsafe_b64encode(nonce + sealed.ciphertext).decode().rstrip("=")
        return f"{sealed.key_version}.{packed}"

    def open_door(self, text: str) -> DoorToken | None:
        """Return the token in a link; None = it is none."""
        opened = self._open(DoorToken, text)
        return None if opened is None else msgspec.json.decode(opened, type=DoorToken)

    def open_unsubscribe(self, text: str) -> UnsubscribeToken | None:
        """Return the token in a link; None = it is none."""
        opened = self._open(UnsubscribeToken, text)
        return None if opened is None else msgspec.json.decode(opened, type=UnsubscribeToken)

    def open_tracking(self, text: str) -> TrackingToken | None:
        """Return the token in a link; None = it is none."""
        opened = self._open(TrackingToken, text)
        return None if opened is None else msgspec.json.decode(opened, type=TrackingToken)

    def _open(self, kind: type, text: str) -> str | None:
        match = _TOKEN.fullmatch(text)
        if match is None:
            return None
        try:
            packed = urlsafe_b64decode(match[2] + "=" * (-len(match[2]) % 4))
            sealed = SealedSecret(int(match[1]), packed[:NONCE_BYTES], packed[NONCE_BYTES:])
            return self._keys.open(_place(kind), sealed)
        except (ValueError, SecretNotReadable):
            return None


def _place(kind: type) -> SecretPlace:
    return SecretPlace(_ANY, "", kind.__name__)
