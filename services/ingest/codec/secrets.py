"""Replaces the keys of Onefold in what clients send, so that no table and no log stores one."""

from __future__ import annotations

import re
import string
from typing import Any

from onefold.type.v1.event_pb2 import Event

from services.chassis.access.keys import SECRET_CHARACTERS, identify_key
from services.ingest.codec.compression import decompress, decompress_start, is_compressed
from services.kernel.errors import InvalidField, TooLarge

_KEY_CHARACTERS = f"{string.ascii_letters}{string.digits}_-"
_PREFIX, _ESCAPE = b"ofk_", rb"\u00"
#: More than the largest body, bytes.
_MAX_BODY = 16 << 20


def _spelling(characters: str) -> str:
    """Return an expression for one of some characters, plain or as an escape of JSON."""
    codes = (f"{ord(character):02x}" for character in characters)
    either_case = ("".join(f"[{d}{d.upper()}]" if d.isalpha() else d for d in c) for c in codes)
    return rf"(?:[{re.escape(characters)}]|\\u00(?:{'|'.join(either_case)}))"


_KEY = re.compile(
    (
        "".join(map(_spelling, "ofk_"))
        + _spelling(string.ascii_lowercase)
        + "{1,16}"
        + _spelling("_")
        + _spelling(_KEY_CHARACTERS)
        + f"{{{SECRET_CHARACTERS}}}"
    ).encode()
)
#: Where `ofk_` is not written as it is, at least one of its characters is escaped.
_ESCAPED_PREFIX = re.compile(rb"\\u00(?:6[fF6bB]|5[fF])")
_ESCAPED = re.compile(rb"\\u00([0-9a-fA-F]{2})")


def may_hold_key(raw: bytes) -> bool:
    """Return whether bytes may hold a key; False is certain, and cheap."""
    if _PREFIX in raw:
        return True
    # One byte is found at a tenth of the cost of several.
    return b"\\" in raw and _ESCAPE in raw and _ESCAPED_PREFIX.search(raw) is not None


def blank_keys(raw: bytes) -> bytes:
    """Return text or JSON with the public id of each key, such as `(key_0f…)`, in its place.

    A key in JSON may have any of its characters escaped, such as `\\u006ffk_source_…`.
    """
    return _KEY.sub(_replacement, raw) if may_hold_key(raw) else raw


def blank_text(text: str) -> str:
    """Return a text with the public id of each key in its place."""
    return blank_keys(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def blank_body(raw: bytes) -> bytes:
    """Return a body that could not be parsed without keys, also where it is compressed.

    A compressed body is returned as it was sent if all of it can be checked and has no key, else
    decompressed, as far as that is possible.
    """
    if not is_compressed(raw):
        return blank_keys(raw)
    try:
        plain = decompress(raw, "", _MAX_BODY)
    except TooLarge:
        return blank_keys(decompress_start(raw, "", len(raw)))
    except InvalidField:
        return blank_keys(decompress_start(raw, "", _MAX_BODY) or raw)
    # What follows an incomplete block of zstd is missing in `plain`, without an error.
    is_whole = plain and not may_hold_key(raw)
    return raw if is_whole and not may_hold_key(plain) else blank_keys(plain or raw)


def blank_event(event: Event) -> None:
    """Replace the keys in every text and every JSON object of an event."""
    for field, value in event.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for identifier in value:
                identifier.namespace = blank_text(identifier.namespace)
                identifier.value = blank_text(identifier.value)
        elif field.type == field.TYPE_STRING:
            setattr(event, field.name, blank_text(value))
        elif field.type == field.TYPE_BYTES:
            setattr(event, field.name, blank_keys(value))
    # A field that this version does not know cannot be read, so it cannot be blanked.
    event.DiscardUnknownFields()


def _replacement(match: re.Match[bytes]) -> bytes:
    spelled: bytes = match[0]
    before: Any = match.string[: match.start()]
    backslashes = len(before) - len(before.rstrip(b"\\"))
    if spelled.startswith(b"\\") and backslashes % 2:
        return spelled  # an escaped backslash and then plain text
    plain = _ESCAPED.sub(lambda escape: bytes.fromhex(escape[1].decode()), spelled)
    return f"({identify_key(plain.decode()).key_id})".encode()
