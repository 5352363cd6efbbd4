"""Writes e-mail: MIME, headers of bulk mail, and the signature of DKIM (RFC 6376)."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

import idna
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from services.activation.domain.message_channels import Smtp
from services.activation.domain.templates import RenderedMessage

#: The headers that are signed where they are there; RFC 8058 demands the two of unsubscription.
SIGNED_HEADERS = (
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "reply-to",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "list-unsubscribe",
    "list-unsubscribe-post",
)
_POLICY = SMTP.clone(max_line_length=76)
_BLANKS = re.compile(rb"[ \t]+")
_FOLDS = re.compile(rb"\r\n(?=[ \t])")


class BadAddress(ValueError):
    """A text is no address of e-mail."""


def envelope_sender(smtp: Smtp, key: str) -> str:
    """Return the address that bounces go to, which names the message: `bounce+KEY@x.example`."""
    if not smtp.return_path:
        return smtp.from_address
    name, _, domain = smtp.return_path.partition("@")
    return f"{name}+{key}@{domain}"


def mail_of(smtp: Smtp, message: RenderedMessage, key: str, now_s: float, token: str = "") -> bytes:
    """Return a mail as bytes with CRLF, all of them ASCII. Raises BadAddress.

    `token`: of the link with which the person unsubscribes.

    The same message has the same Message-ID in each attempt, so that a mailbox can see a repeat.
    """
    mail = EmailMessage(policy=_POLICY)
    domain = smtp.from_address.rpartition("@")[2]
    try:
        mail["From"] = _address(smtp.from_address, smtp.from_name)
        mail["To"] = _address(ascii_address(message.to))
        if smtp.reply_to:
            mail["Reply-To"] = _address(smtp.reply_to)
        mail["Subject"] = message.subject
    except (ValueError, IndexError) as error:
        raise BadAddress("the address is none of e-mail") from error
    mail["Date"] = format_datetime(datetime.fromtimestamp(now_s, UTC))
    mail["Message-ID"] = f"<{key}@{domain}>"
    if smtp.unsubscribe_url:
        url = smtp.unsubscribe_url.replace("{key}", key).replace("{token}", token)
        mail["List-Unsubscribe"] = f"<{url}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    text, html = message.text, message.html
    # base64 and quoted-printable only: the mail passes servers without 8BITMIME as it is signed.
    if text or not html:
        mail.set_content(text, cte="base64" if not text.isascii() else "quoted-printable")
    if html:
        add = mail.add_alternative if text else mail.set_content
        add(html, subtype="html", cte="base64" if not html.isascii() else "quoted-printable")
    return mail.as_bytes()


def ascii_address(address: str) -> str:
    """Return an address with its domain in ASCII. Raises BadAddress."""
    name, at, domain = address.rpartition("@")
    try:
        ascii_domain = idna.encode(domain, uts46=True).decode()
    except UnicodeError:
        raise BadAddress("the address is none of e-mail") from None
    if not at or not name or not name.isascii() or not name.isprintable() or " " in name:
        raise BadAddress("the address is none of e-mail")
    return f"{name}@{ascii_domain}"


def _address(spec: str, name: str = "") -> Address:
    address = Address(display_name=name, addr_spec=spec)
    if not address.domain or not spec.isascii():
        raise BadAddress("the address is none of e-mail")
    return address


def dkim_signature(mail: bytes, domain: str, selector: str, pem: str, now_s: int) -> bytes:
    """Return the header DKIM-Signature of a mail, with its CRLF; relaxed/relaxed.

    Raises ValueError where the key is no RSA key.
    """
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("the key is no RSA key")
    head, _, body = mail.partition(b"\r\n\r\n")
    headers = _headers(head)
    names = [name for name in SIGNED_HEADERS if name in headers]
    digest = b64encode(hashlib.sha256(_relaxed_body(body)).digest()).decode()
    # From is named once more than it is there, so that a second one breaks the signature.
    signed_names = ":".join([*names, "from"])
    field = (
        f"v=1; a=rsa-sha256; c=relaxed/relaxed; d={domain}; s={selector}; t={now_s};"
        f" h={signed_names}; bh={digest}; b="
    )
    signed = b"".join(_relaxed(name, headers[name]) + b"\r\n" for name in names)
    signed += _relaxed("dkim-signature", field.encode())
    text = b64encode(key.sign(signed, padding.PKCS1v15(), hashes.SHA256())).decode()
    folded = "\r\n ".join(text[i : i + 70] for i in range(0, len(text), 70))
    # Folding at a blank changes nothing of what is signed.
    lines = re.sub("; (h|bh|b)=", r";\r\n \1=", field)
    return f"DKIM-Signature: {lines}{folded}\r\n".encode()


def _headers(head: bytes) -> dict[str, bytes]:
    """Return the headers of a mail by their names in lower case, each as it is folded."""
    found: dict[str, bytes] = {}
    for line in re.split(rb"\r\n(?![ \t])", head):
        name, _, value = line.partition(b":")
        found[name.decode().lower()] = value
    return found


def _relaxed(name: str, value: bytes) -> bytes:
    """Return a header in the canonical form `relaxed`, without its CRLF."""
    unfolded = _BLANKS.sub(b" ", _FOLDS.sub(b"", value)).strip(b" \t\r\n")
    return name.encode() + b":" + unfolded


def _relaxed_body(body: bytes) -> bytes:
    """Return a body in the canonical form `relaxed`."""
    lines = [_BLANKS.sub(b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)
