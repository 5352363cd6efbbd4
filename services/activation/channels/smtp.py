"""Sends e-mail over SMTP, through connections that are kept open for a while."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

import aiosmtplib
import msgspec

from services.activation.channels import Message, Sender
from services.activation.channels.connections import shown_result
from services.activation.channels.http import NOT_REACHED
from services.activation.channels.mail_message import (
    BadAddress,
    ascii_address,
    dkim_signature,
    envelope_sender,
    mail_of,
)
from services.activation.channels.mail_tracking import tracked_message
from services.activation.channels.ssrf import PrivateAddressError, TargetDialer
from services.activation.domain.channels import port_of
from services.activation.domain.message_channels import Smtp
from services.activation.domain.model import Destination
from services.activation.domain.policy.contact import contact_channel
from services.activation.domain.receipts.tokens import LinkTokens, TrackingToken, UnsubscribeToken
from services.activation.domain.sealing import SecretKeys, SecretNotReadable
from services.activation.domain.templates import RenderedMessage
from services.activation.domain.transitions import AttemptResult, AttemptStatus
from services.kernel.journeys.model import DEFAULT_PURPOSE

#: Seconds for a connection with its login, and for each answer before the message is sent.
OPEN_TIMEOUT_S, TIMEOUT_S = 15.0, 5.0
#: Seconds for the answer after the message: servers check it before they accept it, and a lost
#: answer cannot be queried. It fits into the lease of an attempt with what comes before.
ACCEPT_TIMEOUT_S = 30.0
#: Connections of one destination that wait for the next mail, and for how long, seconds.
MAX_IDLE, IDLE_S = 4, 20.0
#: Mails over one connection.
MAX_MAILS = 100


@dataclass(slots=True)
class _Connection:
    client: aiosmtplib.SMTP
    used_at: float
    mails: int = 0


@dataclass(slots=True)
class _Pool:
    version: int
    idle: list[_Connection] = field(default_factory=list)


class SmtpSender(Sender):
    """Sends mails to the servers of destinations; leaving the scope closes the connections.

    A mail counts as delivered when the server has accepted it after its last dot.
    """

    def __init__(
        self, dialer: TargetDialer, keys: SecretKeys, *, tls: ssl.SSLContext | None = None
    ) -> None:
        """`tls`: with what certificates are checked; None = the authorities of the system."""
        self._dialer = dialer
        self._keys = keys
        self._tls = tls or ssl.create_default_context()
        self._pools: dict[tuple[str, str], _Pool] = {}

    async def send(self, destination: Destination, message: Message) -> AttemptResult:
        smtp = destination.channel
        if not isinstance(smtp, Smtp):
            raise TypeError("an SMTP sender sends e-mail")
        try:
            secrets = self._keys.open_all(
                destination.workspace_id, destination.destination_id, smtp
            )
            rendered = msgspec.json.decode(message.payload, type=RenderedMessage)
            token = self._unsubscribe_token(destination, rendered, message.key)
            rendered = self._tracked(destination, smtp, rendered, message.key)
            mail = _signed_mail(smtp, rendered, message.key, secrets, token)
        except SecretNotReadable as error:
            return AttemptResult(AttemptStatus.CREDENTIALS, str(error))
        except BadAddress as error:
            return AttemptResult(AttemptStatus.ADDRESS_DEAD, str(error))
        except ValueError:
            return AttemptResult(AttemptStatus.CREDENTIALS, "dkim_private_key is no private key")
        result = await self._deliver(
            destination, smtp, secrets["password"], rendered.to, message, mail
        )
        return shown_result(self._dialer.guard, smtp.host, port_of(smtp), result)

    async def _deliver(
        self,
        destination: Destination,
        smtp: Smtp,
        password: str,
        to: str,
        message: Message,
        mail: bytes,
    ) -> AttemptResult:
        try:
            async with self._connection(destination, smtp, password) as client:
                return await _transaction(client, smtp, to, message.key, mail)
        except PrivateAddressError:
            return AttemptResult(AttemptStatus.FAILED, NOT_REACHED)
        except aiosmtplib.SMTPAuthenticationError as error:
            return AttemptResult(AttemptStatus.CREDENTIALS, f"SMTP {error.code}")
        except aiosmtplib.SMTPResponseException as error:
            return result_of_reply(error.code, error.message)
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ssl.SSLError):
            # Before the message was sent: what is lost after it has a result of its own.
            return AttemptResult(AttemptStatus.FAILED, "no connection to the mail server")

    def _tracked(
        self, destination: Destination, smtp: Smtp, message: RenderedMessage, key: str
    ) -> RenderedMessage:
        """Return a message whose links and opens are counted, as far as it may be measured."""
        if not smtp.tracking_url:
            return message
        place, tokens = (
            (destination.workspace_id, destination.destination_id),
            LinkTokens(self._keys),
        )

        def token_of(link: int, target: str) -> str:
            return tokens.seal(TrackingToken(*place, key, link, target))

        return tracked_message(message, smtp.tracking_url, token_of)

    def _unsubscribe_token(
        self, destination: Destination, message: RenderedMessage, key: str
    ) -> str:
        """Return the token with which the person who gets a mail unsubscribes."""
        channel = contact_channel(destination.channel)
        token = UnsubscribeToken(
            destination.workspace_id,
            destination.destination_id,
            key,
            message.purpose or DEFAULT_PURPOSE,
            channel,
            message.namespace or channel,
            message.to,
        )
        return LinkTokens(self._keys).seal(token)

    @asynccontextmanager
    async def _connection(
        self, destination: Destination, smtp: Smtp, password: str
    ) -> AsyncIterator[aiosmtplib.SMTP]:
        """Lend a connection; it is kept for the next mail unless the scope raises."""
        key = destination.workspace_id, destination.destination_id
        pool = self._pools.setdefault(key, _Pool(destination.version))
        if pool.version != destination.version:
            await _close(pool.idle)
            pool = self._pools[key] = _Pool(destination.version)
        connection = await _fresh(pool) or _Connection(await self._open(smtp, password), _now())
        try:
            yield connection.client
        except BaseException:
            connection.client.close()
            raise
        connection.mails, connection.used_at = connection.mails + 1, _now()
        if connection.client.is_connected and (
            connection.mails < MAX_MAILS and len(pool.idle) < MAX_IDLE
        ):
            pool.idle.append(connection)
        else:
            await _close([connection])

    async def _open(self, smtp: Smtp, password: str) -> aiosmtplib.SMTP:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            return await self._log_in(smtp, password)

    async def _log_in(self, smtp: Smtp, password: str) -> aiosmtplib.SMTP:
        client = aiosmtplib.SMTP(
            hostname=smtp.host,
            local_hostname=smtp.from_address.rpartition("@")[2],
            sock=await self._dialer.connect(smtp.host, port_of(smtp)),
            timeout=TIMEOUT_S,
            use_tls=smtp.security == "tls",
            start_tls=False,
            tls_context=self._tls,
        )
        try:
            await client.connect()
            if smtp.security in ("", "starttls"):
                await client.starttls(server_hostname=smtp.host, tls_context=self._tls)
            if smtp.username:
                await client.login(smtp.username, password)
        except BaseException:
            client.close()
            raise
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for pool in self._pools.values():
            await _close(pool.idle)


def _signed_mail(
    smtp: Smtp, message: RenderedMessage, key: str, secrets: dict[str, str], token: str
) -> bytes:
    """Return the mail with its signature. Raises ValueError for a key that is none."""
    now_s = time.time()
    mail = mail_of(smtp, message, key, now_s, token)
    if not (pem := secrets["dkim_private_key"]):
        return mail
    return dkim_signature(mail, smtp.dkim_domain, smtp.dkim_selector, pem, int(now_s)) + mail


async def _transaction(
    client: aiosmtplib.SMTP, smtp: Smtp, to: str, key: str, mail: bytes
) -> AttemptResult:
    """Send one mail. Raises SMTPException, OSError where it was not sent."""
    await client.mail(envelope_sender(smtp, key), encoding="ascii")
    try:
        await client.rcpt(ascii_address(to), encoding="ascii")
    except aiosmtplib.SMTPResponseException as error:
        await client.rset()
        return result_of_reply(error.code, error.message)
    try:
        await client.data(mail, timeout=ACCEPT_TIMEOUT_S)
    except aiosmtplib.SMTPResponseException as error:
        with suppress(aiosmtplib.SMTPException, OSError):
            await client.rset()
        return result_of_reply(error.code, error.message)
    except (aiosmtplib.SMTPException, OSError, TimeoutError):
        client.close()
        return AttemptResult(AttemptStatus.LOST, "the connection was lost after the message")
    return AttemptResult(AttemptStatus.DELIVERED, "SMTP 250")


def result_of_reply(code: int, text: str) -> AttemptResult:
    """Return the result of a reply of a server that is no success.

    The enhanced code (RFC 3463) at the start of the text says more than the code: 5.1.x, 5.2.1 and
    5.4.4 are about the address, 5.7.x about policy.
    """
    enhanced = text.split(maxsplit=1)[0] if text.strip() else ""
    parts = enhanced.split(".")
    named = enhanced if len(parts) == 3 and all(part.isdecimal() for part in parts) else ""
    reason = f"SMTP {code} {named}".rstrip()
    if 400 <= code < 500:
        return AttemptResult(AttemptStatus.FAILED, reason)
    if code in (530, 534, 535, 538):
        return AttemptResult(AttemptStatus.CREDENTIALS, reason)
    is_address = named.startswith("5.1.") or named in ("5.2.1", "5.4.4")
    # 5.1.7 and 5.1.8 are about the sender.
    if is_address and named not in ("5.1.7", "5.1.8"):
        return AttemptResult(AttemptStatus.ADDRESS_DEAD, reason)
    if code == 550 and not named:
        return AttemptResult(AttemptStatus.ADDRESS_DEAD, reason)
    return AttemptResult(AttemptStatus.REJECTED, reason)


async def _fresh(pool: _Pool) -> _Connection | None:
    """Return a kept connection that still answers; None = there is none."""
    while pool.idle:
        connection = pool.idle.pop()
        if connection.client.is_connected and _now() - connection.used_at < IDLE_S:
            with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                # It begins the next mail, and shows whether the server has left meanwhile.
                await connection.client.rset()
                return connection
        connection.client.close()
    return None


async def _close(connections: list[_Connection]) -> None:
    for connection in connections:
        with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            await connection.client.quit()
        connection.client.close()
    connections.clear()


def _now() -> float:
    return asyncio.get_running_loop().time()
