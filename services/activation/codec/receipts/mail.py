"""Reads mails that report of mails: bounces (RFC 3464) and complaints (RFC 5965)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.errors import MessageError
from email.message import EmailMessage, Message
from email.policy import default
from email.utils import parsedate_to_datetime
from typing import Final

from services.activation.domain.message_channels import Smtp
from services.activation.domain.receipts.model import (
    Bounce,
    Receipt,
    ReceiptAnswer,
    ReceiptRefused,
    ReceiptRequest,
)
from services.kernel.journeys.model import ReportKind

#: Larger mails are no reports; a server returns the headers of a large mail alone.
MAX_MAIL: Final = 1024 * 1024
#: Nothing arrives at an address with one of these (RFC 3463).
_HARD: Final = frozenset(["5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1", "5.4.4"])
_STATUS: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_MESSAGE_ID: Final = re.compile(r"<([0-9a-f]{32})@([^<>@\s]{1,255})>")
#: What stands in the address that a mail is returned to, as in `bounce+KEY@x.example`.
_RETURNED: Final = re.compile(r"\+([0-9a-f]{32})@")
_COMPLAINTS: Final = frozenset({"abuse", "fraud", "opt-out", "opt-out-list", "virus", "other"})
#: The parts that have the headers of the mail that is reported of.
_ORIGINALS: Final = frozenset({"message/rfc822", "text/rfc822-headers", "message/rfc822-headers"})
_ADDRESSED_HEADERS: Final = ("to", "delivered-to", "x-original-to", "envelope-to", "cc")


def read_mail(request: ReceiptRequest, smtp: Smtp) -> ReceiptAnswer:
    """Return what a mail reports; a mail that is no report of ours reports nothing.

    Raises ReceiptRefused where the body is no mail.
    """
    if len(request.body) > MAX_MAIL:
        raise ReceiptRefused("the mail is too large for a report")
    try:
        mail = message_from_bytes(request.body, policy=default)
        receipts = tuple(_receipts(mail, smtp))
    except (MessageError, ValueError, LookupError, AttributeError, TypeError, RecursionError):
        # The parser of the library raises many errors for mails that are none.
        raise ReceiptRefused("the mail cannot be read") from None
    return ReceiptAnswer(receipts, b"{}")


def _receipts(mail: EmailMessage, smtp: Smtp) -> Iterator[Receipt]:
    if mail.get_content_type() != "multipart/report":
        return
    key = _key_of(mail, smtp)
    if not key:
        return
    at_us = _instant_of(mail)
    report_type = str(mail.get_param("report-type", "")).lower()
    if report_type == "feedback-report":
        yield from _complaints(mail, key, at_us)
    elif report_type == "delivery-status":
        yield from _bounces(mail, key, at_us)


def _complaints(mail: EmailMessage, key: str, at_us: int) -> Iterator[Receipt]:
    for fields in _fields(mail, "message/feedback-report"):
        kind = str(fields.get("feedback-type", "")).strip().lower()
        if kind in _COMPLAINTS:
            yield Receipt(ReportKind.COMPLAINED, key, at_us=at_us, reason=kind, consents=False)
            return


def _bounces(mail: EmailMessage, key: str, at_us: int) -> Iterator[Receipt]:
    for fields in _fields(mail, "message/delivery-status"):
        action = str(fields.get("action", "")).strip().lower()
        found = _STATUS.search(str(fields.get("status", "")))
        if found is None:
            continue
        status = found[0]
        if action == "delivered":
            yield Receipt(ReportKind.DELIVERED, key, at_us=at_us, reason=status)
        if action == "failed":
            bounce = _bounce_of(status)
            yield Receipt(ReportKind.UNDELIVERED, key, at_us=at_us, reason=status, bounce=bounce)
            return


def _bounce_of(status: str) -> Bounce:
    if status in _HARD:
        return Bounce.HARD
    # 5.7.x is about the sender or the content, and 5.2.2 is a mailbox that is full for now.
    return Bounce.SOFT if status.startswith("4.") or status == "5.2.2" else Bounce.NONE


def _fields(mail: EmailMessage, content_type: str) -> Iterator[Message]:
    """Yield the groups of fields in the parts of a type."""
    for part in mail.walk():
        if part.get_content_type() != content_type:
            continue
        payload = part.get_payload()
        if isinstance(payload, list):
            yield from (each for each in payload if isinstance(each, Message))
        elif isinstance(payload, str):
            yield message_from_bytes(payload.encode())


def _key_of(mail: EmailMessage, smtp: Smtp) -> str:
    """Return the key of the mail that is reported of; empty = it is none of this destination.

    It stands in the address of the report, or in the Message-ID of the mail that is returned.
    """
    if smtp.return_path:
        name, _, domain = smtp.return_path.lower().partition("@")
        for header in _ADDRESSED_HEADERS:
            for value in mail.get_all(header, []):
                text = str(value).lower()
                for found in _RETURNED.finditer(text):
                    if f"{name}+{found[1]}@{domain}" in text:
                        return found[1]
    own_domain = smtp.from_address.rpartition("@")[2].lower()
    for part in mail.walk():
        if part.get_content_type() not in _ORIGINALS:
            continue
        for found in _MESSAGE_ID.finditer(_original_id(part)):
            if found[2].lower() == own_domain:
                return found[1]
    return ""


def _original_id(part: Message) -> str:
    """Return the Message-ID of a mail that a part returns."""
    payload = part.get_payload()
    if isinstance(payload, list) and payload:
        original = payload[0]
    else:
        original = message_from_bytes(str(payload).encode(errors="replace"))
    return str(original.get("message-id", "")) if isinstance(original, Message) else ""


def _instant_of(mail: EmailMessage) -> int:
    """Return the date of a report, Unix microseconds; 0 = it has none."""
    try:
        return int(parsedate_to_datetime(str(mail.get("date", ""))).timestamp() * 1_000_000)
    except (ValueError, OverflowError, TypeError):
        return 0
