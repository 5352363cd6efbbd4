"""Writes the content of an event in one canonical form, so that a repeat is recognised as one.

A client that sends an event once more may write it differently: members of an object in another
order, `1.0` for `1`, a phone number with blanks, an escaped letter. And what ingest itself fills
in, such as the time and the channel, is no content.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from services.ingest.domain.events import RawEvent
from services.kernel.identifiers.model import Identifier

#: Integers up to this are exact as doubles.
_MAX_EXACT = 2.0**53
_EMPTY: dict[str, object] = {}


def canonical_content(raw: RawEvent, identifiers: Sequence[Identifier], stated_at_us: int) -> bytes:
    """Return the content of an admitted event; equal for two events that state the same.

    `identifiers` are those of the person in canonical form, in any fixed order; `stated_at_us` is
    0 where the sender states no time.
    """
    type_, name, _, _, _, _, properties, traits, context, channel, group_id, group, verified = raw
    return _encode(
        (
            type_,
            name or "",
            identifiers,
            stated_at_us,
            _document(properties),
            _document(traits),
            _document(context),
            channel or "",
            group_id or "",
            _sorted(group),
            _sorted(verified),
        )
    )


def _sorted(pairs: Iterable[tuple[str, object]]) -> list[tuple[str, str]]:
    return sorted((namespace, str(value)) for namespace, value in pairs) if pairs else []


def _document(document: bytes) -> object:
    if not document:
        return _EMPTY
    try:
        return _decode(document)
    except (msgspec.DecodeError, RecursionError):
        # Admission has checked the document, so this is none that another form could equal.
        return document


def _read_number(text: str) -> float:
    """Return a number with a point or an exponent; an integer where it is one."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) <= _MAX_EXACT else number


_decode = msgspec.json.Decoder(float_hook=_read_number).decode
_encode = msgspec.json.Encoder(order="deterministic").encode
