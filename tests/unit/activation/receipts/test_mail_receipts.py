"""Tests what mails report: bounces, complaints, and mails that report nothing of ours."""

from __future__ import annotations

from email.message import EmailMessage
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.activation.codec.receipts.mail import MAX_MAIL, read_mail
from services.activation.domain.message_channels import Smtp
from services.activation.domain.receipts.model import (
    Bounce,
    Receipt,
    ReceiptRefused,
    ReceiptRequest,
)
from services.kernel.journeys.model import ReportKind
from services.kernel.time import parse_rfc3339

KEY = "0a" * 16
SHOP = Smtp("mail.x.example", from_address="shop@x.example", return_path="bounce@x.example")
DATE = "Fri, 27 Nov 2026 12:00:00 +0800"
AT_US = parse_rfc3339("2026-11-27T04:00:00Z")


def part(subtype: str, text: str) -> MIMEMessage:
    inner = EmailMessage()
    for line in text.strip().splitlines():
        name, _, value = line.partition(": ")
        inner[name] = value
    made = MIMEMessage(inner)
    made.set_type(f"message/{subtype}")
    return made


def dsn(
    status: str,
    action: str = "failed",
    *,
    to: str = f"bounce+{KEY}@x.example",
    message_id: str = f"<{KEY}@x.example>",
) -> bytes:
    mail = MIMEMultipart("report", **{"report-type": "delivery-status"})
    mail["To"], mail["Date"], mail["Subject"] = to, DATE, "Undelivered"
    mail.attach(MIMEText("未送达", "plain", "utf-8"))
    fields = f"Final-Recipient: rfc822; li@y.example\nAction: {action}\nStatus: {status}"
    mail.attach(part("delivery-status", fields))
    headers = MIMEText(f"Message-ID: {message_id}\nSubject: Hello\n", "rfc822-headers")
    mail.attach(headers)
    return mail.as_bytes()


def arf(kind: str = "abuse") -> bytes:
    mail = MIMEMultipart("report", **{"report-type": "feedback-report"})
    mail["To"], mail["Date"] = "abuse@x.example", DATE
    mail.attach(MIMEText("a complaint"))
    mail.attach(part("feedback-report", f"Feedback-Type: {kind}\nUser-Agent: x/1\nVersion: 1"))
    original = EmailMessage()
    original["Message-ID"], original["Subject"] = f"<{KEY}@x.example>", "Hello"
    original.set_content("text")
    mail.attach(MIMEMessage(original))
    return mail.as_bytes()


def read(mail: bytes, smtp: Smtp = SHOP) -> tuple[Receipt, ...]:
    return read_mail(ReceiptRequest(body=mail), smtp).receipts


@pytest.mark.parametrize(
    ("status", "bounce"),
    [
        ("5.1.1", Bounce.HARD),
        ("5.1.2", Bounce.HARD),
        ("5.2.1", Bounce.HARD),
        ("5.2.2", Bounce.SOFT),
        ("4.4.7", Bounce.SOFT),
        ("5.7.1", Bounce.NONE),
        ("5.0.0", Bounce.NONE),
    ],
)
def test_bounce_is_hard_only_where_the_address_is_the_cause(status: str, bounce: Bounce) -> None:
    undelivered = Receipt(ReportKind.UNDELIVERED, KEY, at_us=AT_US, reason=status, bounce=bounce)
    assert read(dsn(status)) == (undelivered,)


def test_delay_reports_nothing_and_delivery_is_reported() -> None:
    assert read(dsn("4.4.7", "delayed")) == ()
    delivered = Receipt(ReportKind.DELIVERED, KEY, at_us=AT_US, reason="2.0.0")
    assert read(dsn("2.0.0", "delivered")) == (delivered,)


def test_message_is_known_by_the_address_of_the_bounce_or_by_its_message_id() -> None:
    other = "0b" * 16
    by_id = dsn("5.1.1", to="postmaster@x.example", message_id=f"<{other}@x.example>")
    assert read(by_id)[0].key == other
    by_address = dsn("5.1.1", message_id="<1@y.example>")
    assert read(by_address)[0].key == KEY


@pytest.mark.parametrize(
    "mail",
    [
        dsn("5.1.1", to="bounce@x.example", message_id="<1@x.example>"),
        dsn("5.1.1", to=f"bounce+{KEY}@z.example", message_id=f"<{KEY}@z.example>"),
        b"Subject: I am away\r\n\r\nBack on Monday.",
        b"",
    ],
)
def test_mail_that_reports_of_no_message_of_ours_reports_nothing(mail: bytes) -> None:
    assert read(mail) == ()


def test_complaint_withdraws_consent_and_the_opposite_does_not() -> None:
    complaint = Receipt(ReportKind.COMPLAINED, KEY, at_us=AT_US, reason="abuse", consents=False)
    assert read(arf()) == (complaint,)
    assert read(arf("not-spam")) == ()


def test_mail_that_is_too_large_is_refused() -> None:
    with pytest.raises(ReceiptRefused, match="too large"):
        read(b"x" * (MAX_MAIL + 1))


@given(data=st.binary(max_size=400), at=st.integers(0, 2_000), cut=st.integers(0, 2_000))
@examples(200)
def test_malformed_mails_raise_no_other_error(data: bytes, at: int, cut: int) -> None:
    whole = dsn("5.1.1")
    for mail in (whole[:at] + data + whole[at + cut :], data):
        try:
            found = read(mail)
        except ReceiptRefused:
            found = ()
        assert all(len(receipt.key) == 32 for receipt in found)
