"""Tests mails as bytes: two parsers read them, and dkimpy verifies their signatures."""

from __future__ import annotations

import email
import email.policy
import re
from base64 import b64encode
from email.headerregistry import AddressHeader

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.activation.channels.mail_message import (
    BadAddress,
    ascii_address,
    dkim_signature,
    envelope_sender,
    mail_of,
)
from services.activation.channels.smtp import result_of_reply
from services.activation.domain.message_channels import Smtp
from services.activation.domain.templates import RenderedMessage
from services.activation.domain.transitions import AttemptStatus

KEY = "0f" * 16
NOW_S = 1_790_000_000
SMTP = Smtp(
    host="smtp.x.example",
    from_address="shop@x.example",
    from_name="商城 «Ünï»",
    reply_to="help@x.example",
    return_path="bounce@x.example",
    unsubscribe_url="https://x.example/u/{key}?a=1",
)
MAIL = RenderedMessage(
    to="li.lei@y.example", subject="欢迎 李雷", text="您好\n.\n..\nFrom x", html="<p>您好</p>"
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"))
_RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def pem_of(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def record_of(key: rsa.RSAPrivateKey) -> bytes:
    """Return the DNS record of a key."""
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return b"v=DKIM1; k=rsa; p=" + b64encode(der)


def signed(message: RenderedMessage, key: rsa.RSAPrivateKey = _RSA) -> bytes:
    mail = mail_of(SMTP, message, KEY, NOW_S)
    return dkim_signature(mail, "x.example", "s1", pem_of(key), NOW_S) + mail


def is_verified(mail: bytes, key: rsa.RSAPrivateKey = _RSA) -> bool:
    names: list[bytes] = []

    def record(name: bytes, timeout: int = 5) -> bytes:
        names.append(name)
        return record_of(key)

    verified = dkim.verify(mail, dnsfunc=record)
    assert set(names) <= {b"s1._domainkey.x.example."}
    return bool(verified)


def test_mail_has_the_headers_of_bulk_mail_and_says_what_was_rendered() -> None:
    mail = mail_of(SMTP, MAIL, KEY, NOW_S)
    assert mail.isascii(), "no server has to take 8 bits"
    assert b"\n" not in mail.replace(b"\r\n", b"")
    assert max(map(len, mail.split(b"\r\n"))) <= 998
    parsed = email.message_from_bytes(mail, policy=email.policy.strict)
    assert not parsed.defects
    assert parsed["Subject"] == "欢迎 李雷"
    sender = parsed["From"]
    assert isinstance(sender, AddressHeader)
    assert sender.addresses[0].display_name == "商城 «Ünï»"
    assert parsed["To"].addresses[0].addr_spec == "li.lei@y.example"
    assert parsed["Message-ID"] == f"<{KEY}@x.example>"
    assert parsed["List-Unsubscribe"] == f"<https://x.example/u/{KEY}?a=1>"
    assert parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    body = parsed.get_body(("plain",))
    assert body is not None
    assert body.get_content().splitlines() == MAIL.text.splitlines()
    html = parsed.get_body(("html",))
    assert html is not None
    assert html.get_content().strip() == MAIL.html
    # The older parser reads the same.
    old = email.message_from_bytes(mail)
    assert old.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in old.get_payload()] == ["text/plain", "text/html"]


@examples(100)
@given(subject=TEXT, text=TEXT, html=TEXT, name=TEXT)
def test_any_text_is_mailed_without_a_header_of_its_own(
    subject: str, text: str, html: str, name: str
) -> None:
    subject, name = (re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", s) for s in (subject, name))
    smtp = Smtp(from_address="shop@x.example", from_name=name)
    message = RenderedMessage(to="a@y.example", subject=subject, text=text, html=html)
    parsed = email.message_from_bytes(mail_of(smtp, message, KEY, NOW_S), policy=email.policy.SMTP)
    expected = {"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"}
    assert set(parsed.keys()) <= expected | {"Content-Transfer-Encoding"}
    assert "".join(str(parsed["Subject"]).split()) == "".join(subject.split())


def test_signature_is_verified_by_another_library() -> None:
    mail = signed(MAIL)
    assert is_verified(mail)
    signature = mail.split(b"\r\nFrom")[0]
    # Named once more than it is there, so that no second one can be added.
    assert signature.replace(b"\r\n ", b"").count(b"from") == 2
    assert b"list-unsubscribe:list-unsubscribe-post" in signature.replace(b"\r\n ", b"")
    for change in (
        (b"x.example>", b"z.example>"),
        (b"One-Click", b"Two-Click"),
        (b"\r\n\r\n", b"\r\n\r\nmore\r\n"),
        # Of two senders the signature counts for the lower one, and programs may show the upper.
        (b"\r\nFrom:", b"\r\nFrom: other@x.example\r\nFrom:"),
    ):
        assert not is_verified(mail.replace(*change, 1)), change


@examples(25)
@given(subject=TEXT, text=TEXT, html=TEXT)
def test_signature_of_any_text_is_verified(subject: str, text: str, html: str) -> None:
    subject = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", subject)
    message = RenderedMessage(to="a@y.example", subject=subject, text=text, html=html)
    assert is_verified(signed(message))


@pytest.mark.parametrize(
    ("address", "ascii_form"),
    [("a@y.example", "a@y.example"), ("a@例子.example", "a@xn--fsqu00a.example")],
)
def test_domain_of_an_address_is_written_in_ascii(address: str, ascii_form: str) -> None:
    assert ascii_address(address) == ascii_form


@pytest.mark.parametrize(
    "address", ["", "a", "a@", "@y.example", "李@y.example", "a b@y.example", "a@y..example",
                "a@y.example\r\nBcc: b@z.example", "a@y.example\nRCPT TO:<b@z.example>"]
)  # fmt: skip
def test_text_that_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(BadAddress):
        mail_of(SMTP, RenderedMessage(to=address, subject="s", text="t"), KEY, NOW_S)


def test_bounces_name_the_message() -> None:
    assert envelope_sender(SMTP, KEY) == f"bounce+{KEY}@x.example"
    assert envelope_sender(Smtp(from_address="a@x.example"), KEY) == "a@x.example"


@pytest.mark.parametrize(
    ("code", "text", "status"),
    [
        (421, "4.3.2 shutting down", AttemptStatus.FAILED),
        (450, "4.2.0 greylisted", AttemptStatus.FAILED),
        (550, "5.1.1 user unknown", AttemptStatus.ADDRESS_DEAD),
        (550, "5.2.1 disabled", AttemptStatus.ADDRESS_DEAD),
        (550, "5.7.1 li.lei@y.example is blocked", AttemptStatus.REJECTED),
        (550, "no such user here", AttemptStatus.ADDRESS_DEAD),
        (553, "5.1.7 sender", AttemptStatus.REJECTED),
        (552, "5.3.4 too large", AttemptStatus.REJECTED),
        (535, "5.7.8 authentication failed", AttemptStatus.CREDENTIALS),
        (554, "", AttemptStatus.REJECTED),
    ],
)
def test_reply_of_a_server_decides_the_result(code: int, text: str, status: AttemptStatus) -> None:
    result = result_of_reply(code, text)
    assert result.status is status
    assert "li.lei" not in result.reason
