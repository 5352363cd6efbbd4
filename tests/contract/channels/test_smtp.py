"""Tests the channel of e-mail against a server on this machine."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.policy import default
from ipaddress import ip_network
from typing import Any

import msgspec
import pytest
from aiosmtpd.smtp import SMTP as Server
from aiosmtpd.smtp import AuthResult, LoginPassword
from contract.channels.rigs import KEYS, LOOPBACK, destination_of, message_of
from structlog.testing import capture_logs
from toy.certificates import Authority

from services.activation.channels.smtp import SmtpSender
from services.activation.channels.ssrf import Resolver, TargetDialer, TargetGuard
from services.activation.domain.message_channels import Smtp
from services.activation.domain.receipts.tokens import LinkTokens, TrackingToken
from services.activation.domain.targets import AllowedTargets
from services.activation.domain.templates import RenderedMessage
from services.activation.domain.transitions import AttemptStatus

MAIL = RenderedMessage(to="li.lei@y.example", subject="欢迎", text="您好\n.\n..两点")
SMTP = Smtp(
    host="127.0.0.1",
    from_address="shop@x.example",
    return_path="bounce@x.example",
    username="shop",
    password="p-secret",
)


@dataclass
class Mailbox:
    """A server that answers by a script: a reply, `hang` or `drop` after the last dot."""

    tls: ssl.SSLContext | None = None
    script: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    mails: list[tuple[str, str, bytes]] = field(default_factory=list)
    logins: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    transports: list[Any] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append((envelope.mail_from, envelope.rcpt_tos[0], envelope.content))
        reply = self.script.pop(0) if self.script else "250 2.0.0 OK"
        if reply == "hang":
            await self.released.wait()
        if reply == "drop":
            server.transport.abort()
        return reply

    def login(self, server: Any, session: Any, envelope: Any, kind: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.password)
        return AuthResult(success=data.password == b"p-secret", handled=False)

    def connect(self) -> Server:
        self.connections += 1
        server = Server(
            self,
            hostname="mail.x.example",
            tls_context=self.tls,
            require_starttls=self.tls is not None,
            authenticator=self.login,
            auth_required=self.tls is not None,
            auth_require_tls=self.tls is not None,
            enable_SMTPUTF8=False,
            decode_data=False,
        )
        self.transports.append(server)
        return server


@asynccontextmanager
async def mailbox(
    tls: ssl.SSLContext | None = None, *, first: bool = False
) -> AsyncIterator[Mailbox]:
    """Run a server; `first`: whether TLS begins with the first byte."""
    box = Mailbox(None if first else tls)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(box.connect, "127.0.0.1", 0, ssl=tls if first else None)
    box.port = listener.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        box.released.set()
        listener.close()
        for server in box.transports:
            if server.transport is not None:
                server.transport.abort()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "test")


def contexts(authority: Authority) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the context of a server, and that of a client that trusts it."""
    files = authority.issue("mail")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    return server, ssl.create_default_context(cafile=str(authority.file))


@asynccontextmanager
async def sending(
    tls: ssl.SSLContext | None = None, allowed: AllowedTargets = LOOPBACK
) -> AsyncIterator[SmtpSender]:
    dialer = TargetDialer(TargetGuard(allowed), Resolver())
    async with SmtpSender(dialer, KEYS, tls=tls) as sender:
        yield sender


def plain(box: Mailbox, **fields: Any) -> Any:
    smtp = replace(SMTP, port=box.port, security="none", username="", password="", **fields)
    return destination_of(smtp)


async def test_mail_is_accepted_once_with_its_envelope_and_text() -> None:
    async with mailbox() as box, sending() as sender:
        message = message_of(MAIL)
        result = await sender.send(plain(box), message)
        assert (result.status, result.reason) == (AttemptStatus.DELIVERED, "SMTP 250")
        ((sender_address, to, content),) = box.mails
        assert sender_address == f"bounce+{message.key}@x.example"
        assert to == "li.lei@y.example"
        assert f"<{message.key}@x.example>".encode() in content


async def test_links_of_a_mail_lead_through_the_door_with_the_tokens_of_the_message() -> None:
    page = '<p><a href="https://shop.example/a">A</a></p>'
    rendered = msgspec.structs.replace(MAIL, html=page, tracks_links=True, tracks_opens=True)
    async with mailbox() as box, sending() as sender:
        destination = plain(box, tracking_url="https://cdp.x.example")
        message = message_of(rendered)
        for _ in range(2):
            await sender.send(destination, message)
        await sender.send(plain(box), message)
    first, again, untracked = (
        message_from_bytes(content, policy=default).get_body(("html",)).get_content()
        for _, _, content in box.mails
    )
    assert first == again
    assert untracked.strip() == page
    click, picture = re.findall(r"https://cdp\.x\.example/[co]/([^\"]+)", first)
    place = destination.workspace_id, destination.destination_id, message.key
    tokens = LinkTokens(KEYS)
    assert tokens.open_tracking(click) == TrackingToken(*place, 1, "https://shop.example/a")
    assert tokens.open_tracking(picture) == TrackingToken(*place)


async def test_connection_is_used_again_and_opened_again_where_the_server_has_left() -> None:
    async with mailbox() as box, sending() as sender:
        for _ in range(3):
            await sender.send(plain(box), message_of(MAIL))
        assert (len(box.mails), box.connections) == (3, 1)
        for server in box.transports:
            server.transport.abort()
        result = await sender.send(plain(box), message_of(MAIL))
        assert result.status is AttemptStatus.DELIVERED
        assert box.connections == 2


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ("421 4.3.2 closing", AttemptStatus.FAILED),
        ("451 4.7.1 later", AttemptStatus.FAILED),
        ("552 5.3.4 too large", AttemptStatus.REJECTED),
        ("554 5.7.1 spam", AttemptStatus.REJECTED),
        ("drop", AttemptStatus.LOST),
        ("hang", AttemptStatus.LOST),
    ],
)
async def test_answer_after_the_last_dot_decides(
    reply: str, status: AttemptStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reply == "hang":
        monkeypatch.setattr("services.activation.channels.smtp.ACCEPT_TIMEOUT_S", 0.2)
    async with mailbox() as box, sending() as sender:
        box.script = [reply]
        result = await sender.send(plain(box), message_of(MAIL))
        assert result.status is status
        after = await sender.send(plain(box), message_of(MAIL))
        assert after.status is AttemptStatus.DELIVERED


async def test_server_that_closes_in_the_middle_of_many_mails_gets_each_once() -> None:
    async with mailbox() as box, sending() as sender:
        messages, destination = [message_of(MAIL) for _ in range(6)], plain(box)
        box.script = ["250 2.0.0 OK", "250 2.0.0 OK", "421 4.3.2 closing"]
        waiting = list(messages)
        for _ in range(2):
            results = [(each, await sender.send(destination, each)) for each in waiting]
            waiting = [each for each, r in results if r.status is AttemptStatus.FAILED]
            assert len(waiting) in (0, 1)
        accepted = [content for n, (_, _, content) in enumerate(box.mails) if n != 2]
        ids = [content.split(b"Message-ID: <")[1].split(b"@")[0].decode() for content in accepted]
        assert sorted(ids) == sorted(each.key for each in messages)


async def test_refused_recipient_is_dead_and_the_connection_goes_on() -> None:
    async with mailbox() as box, sending() as sender:
        box.refused = {"li.lei@y.example": "550 5.1.1 li.lei@y.example unknown"}
        with capture_logs() as lines:
            result = await sender.send(plain(box), message_of(MAIL))
        assert (result.status, result.reason) == (AttemptStatus.ADDRESS_DEAD, "SMTP 550 5.1.1")
        assert "li.lei" not in str(lines)
        other = RenderedMessage(to="han@y.example", subject="s", text="t")
        delivered = await sender.send(plain(box), message_of(other))
        assert delivered.status is AttemptStatus.DELIVERED
        assert box.connections == 1


@pytest.mark.parametrize("security", ["", "tls"])
async def test_password_is_sent_over_tls_to_a_server_whose_certificate_is_trusted(
    security: str, authority: Authority
) -> None:
    server, client = contexts(authority)
    async with mailbox(server, first=security == "tls") as box:
        to = destination_of(replace(SMTP, port=box.port, security=security))
        async with sending(client) as sender:
            result = await sender.send(to, message_of(MAIL))
            assert (result.status, box.logins) == (AttemptStatus.DELIVERED, [b"p-secret"])
            wrong = destination_of(replace(SMTP, port=box.port, security=security, password="x"), 2)
            refused = await sender.send(wrong, message_of(MAIL))
            assert refused.status is AttemptStatus.CREDENTIALS
        async with sending() as distrusting:
            result = await distrusting.send(to, message_of(MAIL))
            assert result.status is AttemptStatus.FAILED
        assert set(box.logins) == {b"p-secret", b"x"}


async def test_server_without_starttls_gets_neither_password_nor_mail() -> None:
    async with mailbox() as box, sending() as sender:
        result = await sender.send(destination_of(replace(SMTP, port=box.port)), message_of(MAIL))
        assert result.status is AttemptStatus.FAILED
        assert (box.logins, box.mails) == ([], [])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "::1"])
async def test_private_server_is_not_dialled(host: str) -> None:
    async with mailbox() as box, sending(allowed=AllowedTargets()) as sender:
        result = await sender.send(plain(box, host=host), message_of(MAIL))
        assert result.status is AttemptStatus.FAILED
        assert box.connections == 0


async def test_server_of_an_allowed_range_shows_no_reason() -> None:
    """Otherwise a tenant could learn what listens in an inner network."""
    allowed = AllowedTargets(networks=((ip_network("127.0.0.0/8"), frozenset(range(65_536))),))
    async with (
        mailbox() as box,
        SmtpSender(TargetDialer(TargetGuard(allowed), Resolver()), KEYS) as sender,
    ):
        box.script = ["554 5.7.1 spam"]
        refused = await sender.send(plain(box), message_of(MAIL))
        away = destination_of(
            replace(SMTP, port=1, security="none", username="", password=""), version=2
        )
        assert await sender.send(away, message_of(MAIL)) == refused
        assert refused.status is AttemptStatus.FAILED


async def test_address_that_is_none_is_not_dialled() -> None:
    async with mailbox() as box, sending() as sender:
        mail = RenderedMessage(to="a@y.example\r\nDATA", subject="s", text="t")
        result = await sender.send(plain(box), message_of(mail))
        assert result.status is AttemptStatus.ADDRESS_DEAD
        assert box.connections == 0
