"""Seals what a state of the log counts before it goes to clients, and opens it again.

A token has one offset for each shard, and an offset counts the facts of all workspaces. So clients
get tokens that are encrypted for their workspace: they tell nothing and cannot be made up. The
guard calls this for every request and response, as listed by the descriptors of the methods.
"""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from google.protobuf.descriptor import Descriptor
from onefold.type.v1.token_pb2 import StreamPosition, Token

from services.chassis.access.rights import rpc_of
from services.kernel.errors import InvalidField

#: The names of the fields from a message to a sealed message in it.
Path: TypeAlias = tuple[str, ...]

#: The repeated field of each message that is sealed.
_COUNTS = {Token.DESCRIPTOR.full_name: "offsets", StreamPosition.DESCRIPTOR.full_name: "sequences"}
#: How the text of a sealed token begins; the rest is Base64 for URLs.
SEALED_PREFIX = "sealed:"
_INFO = b"onefold: tokens, version 1"
_NONCE_BYTES = 12


class TokenSealer:
    """Seals and opens tokens with keys that are derived from the internal keys."""

    def __init__(self, internal_keys: Sequence[str]) -> None:
        """`internal_keys`: the first one seals, and each opens what it has sealed."""
        self._ciphers = [AESGCMSIV(_derive(key)) for key in internal_keys]

    def seal(self, message: Any, paths: Sequence[Path], workspace_id: str) -> None:
        """Seal the tokens at `paths` of a message for a workspace."""
        for _, token in _at(message, paths):
            name = token.DESCRIPTOR.full_name
            counts = getattr(token, _COUNTS[name])
            token.sealed = self._sealed(counts, _place(name, workspace_id))
            del counts[:]

    def seal_text(self, offsets: Sequence[int], workspace_id: str) -> str:
        """Return a token as a sealed text, as command lines read it."""
        sealed = self._sealed(offsets, _place(Token.DESCRIPTOR.full_name, workspace_id))
        return SEALED_PREFIX + base64.urlsafe_b64encode(sealed).decode()

    def _sealed(self, counts: Sequence[int], place: bytes) -> bytes:
        # A fixed size, as shorter numbers would tell that there are few facts.
        packed = struct.pack(f">{len(counts)}Q", *counts)
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, packed, place)

    def open(
        self, message: Any, paths: Sequence[Path], workspace_id: str, *, plain_too: bool
    ) -> None:
        """Open the sealed tokens at `paths` of a message.

        `plain_too`: accept tokens that are not sealed. Raises InvalidField where a token cannot be
        opened.
        """
        for path, token in _at(message, paths):
            name = token.DESCRIPTOR.full_name
            counts, sealed = getattr(token, _COUNTS[name]), token.sealed
            if not sealed and (plain_too or not counts):
                continue
            if not sealed or counts:
                raise _unreadable(path)
            packed = self._decrypted(sealed, _place(name, workspace_id))
            if packed is None:
                raise _unreadable(path)
            counts.extend(struct.unpack(f">{len(packed) // 8}Q", packed))
            token.ClearField("sealed")

    def _decrypted(self, sealed: bytes, place: bytes) -> bytes | None:
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, ciphertext, place)
            except (InvalidTag, ValueError):
                continue
        return None


def method_paths(method: str) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return where the request and the response of a method, `/package.Service/Rpc`, have tokens.

    Raises KeyError if no such method is known.
    """
    found = rpc_of(method)
    return tuple(_paths(found.input_type)), tuple(_paths(found.output_type))


def _paths(message: Descriptor, above: Path = (), within: frozenset[str] = frozenset()) -> Any:
    """Yield the path of each token below a message."""
    if message.full_name in _COUNTS:
        yield above
    elif message.full_name not in within:
        for field in message.fields:
            if field.message_type is not None:
                inside = within | {message.full_name}
                yield from _paths(field.message_type, (*above, field.name), inside)


def _at(message: Any, paths: Sequence[Path]) -> Iterator[tuple[Path, Any]]:
    """Yield the tokens that are set at `paths`."""
    for path in paths:
        parts = [message]
        for name in path:
            below = []
            for part in parts:
                if part.DESCRIPTOR.fields_by_name[name].is_repeated:
                    below.extend(getattr(part, name))
                elif part.HasField(name):
                    below.append(getattr(part, name))
            parts = below
        for token in parts:
            yield path, token


def _derive(internal_key: str) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=_INFO).derive(internal_key.encode())


def _place(message_name: str, workspace_id: str) -> bytes:
    return f"{message_name}/{workspace_id}".encode()


def _unreadable(path: Path) -> InvalidField:
    field = ".".join(path)
    return InvalidField(
        f"{field} is not readable: send it as an earlier response for this workspace has it; if"
        " the internal key of the system has changed since, begin without it",
        field=field,
    )
