"""Authenticates the messages that services exchange over the bus by a MAC in their headers.

A publisher without the bus key can neither make a message that a service folds nor move one: the
MAC covers the subject, the range, the life, the claim check and the payload. A message without a
valid MAC counts as absent, so its range is read upstream.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import NamedTuple

RANGE_HEADER = "Onefold-Range"
#: Set where the payload is too large for NATS: consumers read it upstream.
CLAIM_CHECK = "Onefold-Upstream-Only"
MAC_HEADER = "Onefold-Mac"
#: The life of the stream that has the message; see `services.chassis.messaging.lives`.
LIFE_HEADER = "Onefold-Life"

_CONTEXT = b"onefold bus message 2"
_HASH = "sha256"
#: Decimal digits of a sequence number; longer ones are no 64-bit numbers.
_MAX_DIGITS = 19


class Envelope(NamedTuple):
    """What the headers of a message state about it."""

    #: The half-open range of sequence numbers that it covers.
    first: int
    next: int
    #: Whether the payload was too large for the bus and is read upstream.
    is_claim_check: bool = False
    #: A life of the stream that has the message; 0 where none is stated.
    life: int = 0


class MessageAuthenticator:
    """Makes and verifies the headers of messages.

    `bus_key` is the secret that all services of an installation share; `previous` one is accepted
    as well, while services with the old and the new key run side by side.
    """

    def __init__(self, bus_key: str, previous: str = "") -> None:
        # HMAC-SHA256: for messages of 5 kB and more it takes half the time of keyed BLAKE2b. Its
        # key schedule is copied, which costs less than a new one.
        self._mac = _derive(bus_key)
        self._accepted = [self._mac, *([_derive(previous)] if previous else [])]

    def headers(self, subject: str, envelope: Envelope, payload: bytes) -> dict[str, str]:
        """Return the headers with which a payload is published."""
        headers = {
            RANGE_HEADER: f"{envelope.first}-{envelope.next}",
            MAC_HEADER: _mac_of(self._mac, subject, envelope, payload),
        }
        if envelope.is_claim_check:
            headers[CLAIM_CHECK] = "1"
        if envelope.life:
            headers[LIFE_HEADER] = str(envelope.life)
        return headers

    def verify(
        self, subject: str, headers: Mapping[str, str] | None, payload: bytes
    ) -> Envelope | None:
        """Return the envelope of a message of `subject`; None where its MAC is not valid."""
        headers = headers or {}
        covered = range_of(headers)
        given = headers.get(MAC_HEADER, "").encode(errors="replace")
        life = _number_of(headers.get(LIFE_HEADER, "0"))
        if covered is None or life is None or not given:
            return None
        envelope = Envelope(*covered, CLAIM_CHECK in headers, life)
        for mac in self._accepted:
            if hmac.compare_digest(given, _mac_of(mac, subject, envelope, payload).encode()):
                return envelope
        return None


def range_of(headers: Mapping[str, str] | None) -> tuple[int, int] | None:
    """Return the half-open range that a message covers; None where its headers contain none."""
    text = (headers or {}).get(RANGE_HEADER, "")
    first, dash, end = text.partition("-")
    numbers = _number_of(first), _number_of(end)
    if not dash or numbers[0] is None or numbers[1] is None or numbers[0] >= numbers[1]:
        return None
    return numbers[0], numbers[1]


def _number_of(text: str) -> int | None:
    """Return the number that a header contains; None where it is none of 64 bits."""
    if not (text.isascii() and text.isdecimal()) or len(text) > _MAX_DIGITS:
        return None
    return int(text)


def _derive(secret: str) -> hmac.HMAC:
    return hmac.new(hmac.digest(secret.encode(), _CONTEXT, _HASH), digestmod=_HASH)


def _mac_of(keyed: hmac.HMAC, subject: str, envelope: Envelope, payload: bytes) -> str:
    # No subject has a line break, so no other message has the same bytes.
    mac = keyed.copy()
    first, next_, is_claim_check, life = envelope
    mac.update(f"{subject}\n{first} {next_} {is_claim_check:d} {life}\n".encode())
    mac.update(payload)
    return mac.hexdigest()
