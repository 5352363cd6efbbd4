"""What a destination must be before it is defined."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import urlsplit

from services.activation.domain.model import Destination, NatsSubject, NdjsonFile, Webhook
from services.kernel.errors import InvalidField

MAX_ID = 128
MAX_CONTENT = 64 * 1024
#: Bytes of a signing secret, as Standard Webhooks asks.
SECRET_BYTES = range(24, 65)
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SUBJECT = re.compile(r"[^\s.*>]+(\.[^\s.*>]+)*")


def check(destination: Destination) -> None:
    """Raises InvalidField, which tells what to write instead."""
    if not 0 < len(destination.destination_id) <= MAX_ID:
        _refuse("destination_id", f"has 1 to {MAX_ID} characters")
    if not destination.destination_id.isprintable():
        _refuse("destination_id", "has printable characters only")
    if not destination.segment_ids:
        _refuse("segment_ids", "names at least one segment")
    if not destination.triggers:
        _refuse("triggers", "names at least one of ENTERED and LEFT")
    if len(destination.content) > MAX_CONTENT:
        _refuse("content", f"has at most {MAX_CONTENT} bytes")
    match destination.channel:
        case Webhook(url, secret):
            _check_url(url)
            _check_secret(secret)
        case NatsSubject(subject):
            _check_subject(subject)
        case NdjsonFile(name):
            if not _FILE.fullmatch(name):
                _refuse("file.name", "is a file name of letters, digits, '.', '_' and '-'")


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        _refuse("webhook.url", "is an http or https URL with a host")
    if parts.username is not None or parts.fragment:
        _refuse("webhook.url", "has no user and no fragment; the signature tells who sends")


def _check_secret(secret: str) -> None:
    try:
        raw = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not secret.startswith("whsec_") or len(raw) not in SECRET_BYTES:
        _refuse("webhook.secret", "is `whsec_` and the base64 of 24 to 64 random bytes")


def _check_subject(subject: str) -> None:
    if not _SUBJECT.fullmatch(subject):
        _refuse("nats.subject", "is a subject without wildcards, such as onefold.out.coupons")
    if subject.startswith(("$", "_INBOX")) or (
        subject.startswith("onefold.") and not subject.startswith("onefold.out.")
    ):
        _refuse("nats.subject", "lies outside of `onefold.`, or below `onefold.out.`")


def _refuse(field: str, wanted: str) -> None:
    raise InvalidField(f"{field} {wanted}", field=f"destination.{field}")
