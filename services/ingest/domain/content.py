"""Writes the content of an event in one canonical form, so that a repeat is recognised as one.

A client that sends an event once more may write it differently: members of an object in another
order, `1.0` for `1`, a phone number with blanks, an escaped letter. And what ingest itself fills
in, such as the time and the channel, is no content.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from services.ingest.domain.events import RawEvent
from services.ingest.domain.json_limits import Documents
from services.kernel.identifiers.model import Identifier

#: The same for equal values, whatever the order of their members.
_encode = msgspec.msgpack.Encoder(order="deterministic").encode


def encode_identifiers(identifiers: Iterable[Identifier]) -> bytes:
    """Return a person's identifiers in canonical form as a part of `canonical_content`."""
    return _encode(sorted(identifiers))


def canonical_content(
    raw: RawEvent, identifiers: bytes, stated_at_us: int, documents: Documents
) -> bytes:
    """Return the content of an admitted event; equal for two events that state the same.

    `identifiers` are encoded by `encode_identifiers`; `stated_at_us` is 0 where the sender states
    no time.
    """
    type_, name, _, _, _, _, _, _, _, channel, group_id, group, verified = raw
    stated = (
        type_,
        name or "",
        stated_at_us,
        documents,
        channel or "",
        group_id or "",
        _sorted(group) if group else (),
        _sorted(verified) if verified else (),
    )
    return _encode(stated) + identifiers


def _sorted(pairs: Iterable[tuple[str, object]]) -> list[tuple[str, str]]:
    return sorted((namespace, str(value)) for namespace, value in pairs)
