"""Validates a destination before it is defined."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection
from typing import NoReturn
from urllib.parse import urlsplit

from services.activation.domain.model import Destination, NatsSubject, NdjsonFile, Webhook
from services.activation.domain.subjects import (
    MAX_SUBJECT,
    AllowedSubjects,
    is_reserved,
    is_subject,
    own_prefix,
)
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId

MAX_ID = 128
MAX_TITLE = 200
MAX_SEGMENTS = 1_000
#: Destinations of a workspace, retired ones included: each has a queue of its own, and one change
#: of a membership can become a message to each.
MAX_DESTINATIONS = 500
MAX_TRAITS = 200
MAX_URL = 2_048
MAX_CONTENT = 64 * 1024
#: Bytes of a signing secret that Standard Webhooks allows.
SECRET_BYTES = range(24, 65)
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def check_destination(destination: Destination, subjects: AllowedSubjects) -> None:
    """Check every field. Raises InvalidField with the expected form.

    `subjects`: those outside of `onefold.out.WORKSPACE.` that the operator allows.
    """
    check_destination_id(destination.destination_id)
    if len(destination.title) > MAX_TITLE or "\0" in destination.title:
        _reject("title", f"has at most {MAX_TITLE} characters and no NUL")
    _check_names("segment_ids", destination.segment_ids, MAX_SEGMENTS)
    if not destination.segment_ids:
        _reject("segment_ids", "names at least one segment")
    if not destination.triggers:
        _reject("triggers", "names at least one of ENTERED and LEFT")
    if len(destination.content) > MAX_CONTENT:
        _reject("content", f"has at most {MAX_CONTENT} bytes")
    _check_names("traits", destination.traits, MAX_TRAITS)
    match destination.channel:
        case Webhook(url, secret):
            _check_url(url)
            # A sealed secret was checked before it was sealed.
            if isinstance(secret, str):
                _check_secret(secret)
        case NatsSubject(subject):
            _check_subject(destination.workspace_id, subject, subjects)
        case NdjsonFile(name):
            if not _FILE.fullmatch(name):
                _reject("file.name", "is a file name of letters, digits, '.', '_' and '-'")


def check_number(destination_id: str, existing: Collection[str]) -> None:
    """Check that a workspace with these ids may define this one. Raises InvalidField."""
    if destination_id not in existing and len(existing) >= MAX_DESTINATIONS:
        raise InvalidField(
            f"the workspace has {len(existing)} destinations, and at most {MAX_DESTINATIONS} are"
            " allowed: define one under the id of a retired destination",
            field="destination.destination_id",
        )


def check_destination_id(destination_id: str) -> None:
    """Check that a text can be the id of a destination. Raises InvalidField."""
    if not _is_name(destination_id):
        _reject("destination_id", f"has 1 to {MAX_ID} printable characters")


def _check_names(field: str, names: Collection[str], most: int) -> None:
    if len(names) > most:
        _reject(field, f"has at most {most} entries")
    if not all(map(_is_name, names)):
        _reject(field, f"has entries of 1 to {MAX_ID} printable characters")


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_ID and text.isprintable()


def _check_url(url: str) -> None:
    if len(url) > MAX_URL:
        _reject("webhook.url", f"has at most {MAX_URL} characters")
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    # Parsers disagree about the host of such a URL.
    ambiguous = not url.isprintable() or " " in url or "\\" in url
    if ambiguous or not valid:
        _reject("webhook.url", "is an http or https URL with a host, such as https://x.example/in")
    if "@" in parts.netloc or "#" in url:
        _reject("webhook.url", "has no user and no fragment; the signature identifies the sender")


def _check_secret(secret: str) -> None:
    try:
        raw = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not secret.startswith("whsec_") or len(raw) not in SECRET_BYTES:
        _reject("webhook.secret", "is `whsec_` and the base64 of 24 to 64 random bytes")


def _check_subject(workspace_id: WorkspaceId, subject: str, allowed: AllowedSubjects) -> None:
    if not is_subject(subject):
        _reject(
            "nats.subject",
            f"is a subject without wildcards of at most {MAX_SUBJECT} printable characters, such"
            f" as {own_prefix(workspace_id)}coupons",
        )
    if allowed.allows(workspace_id, subject):
        return
    # The system's subjects cannot be allowed, so no operator can help there.
    remedy = "" if is_reserved(subject) else "; an operator can allow others"
    _reject("nats.subject", f"lies below `{own_prefix(workspace_id)}`{remedy}")


def _reject(field: str, expected: str) -> NoReturn:
    raise InvalidField(f"{field} {expected}", field=f"destination.{field}")
