"""Sends webhooks, signed as Standard Webhooks (https://www.standardwebhooks.com, version 1)."""

from __future__ import annotations

import asyncio
import hmac
import time
from base64 import b64decode, b64encode
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Self

import aiohttp
from aiohappyeyeballs import SocketFactoryType
from aiohttp.abc import AbstractResolver

from services.activation.channels import Message, ssrf
from services.activation.channels.ssrf import GuardedResolver, PrivateAddressError, TargetGuard
from services.activation.domain.model import Destination, SealedSecret, Webhook
from services.activation.domain.sealing import SecretKeys, SecretNotReadable
from services.activation.domain.transitions import AttemptResult, AttemptStatus

TIMEOUT_S = 15.0
MAX_RETRY_AFTER = 86_400.0
#: A response's body is read and discarded up to these limits, so that the connection can be
#: reused; beyond them the connection is closed.
MAX_DRAINED_BYTES, MAX_DRAIN_S = 64 * 1024, 1.0
#: Statuses after which a retry may succeed, beside every 5xx.
_RETRYABLE = frozenset({408, 409, 425, 429})
_HEADERS = {"content-type": "application/json", "user-agent": "onefold"}
_MALFORMED = AttemptResult(AttemptStatus.REJECTED, "the URL is malformed")
#: One result for names that do not exist, for private hosts, whatever their names, and for all that
#: a private host can do instead of accepting a message: so a tenant learns neither names nor hosts
#: nor ports of an inner network. A name may get an address later, so the attempt is repeated.
_NOT_REACHED = AttemptResult(
    AttemptStatus.FAILED, "the host is unknown, is not public, or did not accept the message"
)


class WebhookSender:
    """Sends over HTTP to public addresses, and to the private ones that the operator allows.

    `timeout_s`: from the start of an attempt to the status of the response, seconds. Leaving the
    scope closes the connections.
    """

    def __init__(
        self,
        guard: TargetGuard,
        keys: SecretKeys,
        *,
        timeout_s: float = TIMEOUT_S,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._guard = guard
        self._keys = keys
        self._timeout_s = timeout_s
        names = resolver or ssrf.Resolver()
        self._guarded = self._session(GuardedResolver(names, guard), guard.open_socket)
        #: For hosts that the operator named, wherever their names lead.
        self._trusted = self._session(names, None)

    def _session(
        self, resolver: AbstractResolver, socket_factory: SocketFactoryType | None
    ) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                # Each destination has its own limit, so one that hangs cannot starve the others.
                limit=0,
                resolver=resolver,
                ttl_dns_cache=10,
                socket_factory=socket_factory,
            ),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def position(self, destination: Destination) -> bytes:
        return b""

    async def send(self, destination: Destination, message: Message) -> AttemptResult:
        """Make one attempt. Redirects are not followed."""
        channel = destination.channel
        if not isinstance(channel, Webhook) or not isinstance(channel.secret, SealedSecret):
            raise TypeError("a webhook sender sends webhooks whose secret is sealed")
        try:
            host, port = ssrf.host_and_port(channel.url)
            secret = self._keys.open_webhook(
                destination.workspace_id, destination.destination_id, channel.secret
            )
        except ValueError:
            return _MALFORMED
        except SecretNotReadable as error:
            return AttemptResult(AttemptStatus.FAILED, str(error))
        result = await self._attempt(channel.url, secret, message, self._session_of(host, port))
        if result.status is not AttemptStatus.DELIVERED and self._guard.hides_reasons(host, port):
            return _NOT_REACHED
        return result

    def _session_of(self, host: str, port: int) -> aiohttp.ClientSession:
        return self._trusted if self._guard.is_trusted(host, port) else self._guarded

    async def _attempt(
        self, url: str, secret: str, message: Message, http: aiohttp.ClientSession
    ) -> AttemptResult:
        try:
            if http is self._guarded:
                self._guard.check_url(url)
            return await self._post(url, secret, message, http)
        except PrivateAddressError:
            return _NOT_REACHED
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            return self._result_of_error(error)

    async def _post(
        self, url: str, secret: str, message: Message, http: aiohttp.ClientSession
    ) -> AttemptResult:
        headers = _HEADERS | sign(secret, message, int(time.time()))
        async with http.post(
            url, data=message.payload, headers=headers, allow_redirects=False
        ) as response:
            result = result_of_status(response.status, response.headers.get("retry-after", ""))
            await _drain(response.content)
            return result

    def _result_of_error(self, error: Exception) -> AttemptResult:
        match error:
            case aiohttp.ClientConnectorDNSError():
                return _NOT_REACHED
            case aiohttp.ClientConnectorError(os_error=PrivateAddressError()):
                return _NOT_REACHED
            case TimeoutError():
                reason = f"no response within {self._timeout_s:g} s"
            case aiohttp.ClientConnectorCertificateError():
                reason = "the certificate is not accepted"
            case aiohttp.ClientConnectorError():
                reason = "no connection"
            case aiohttp.ClientConnectionError() | OSError():
                reason = "the connection was lost"
            case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
                reason = "the response is not HTTP"
            case ValueError():
                return _MALFORMED
            case _:
                reason = type(error).__name__
        return AttemptResult(AttemptStatus.FAILED, reason)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._guarded.close()
        await self._trusted.close()


def sign(secret: str, message: Message, now_s: int) -> dict[str, str]:
    """Return the three signature headers; `now_s` in Unix seconds."""
    signed = b"%s.%d.%s" % (message.key.encode(), now_s, message.payload)
    digest = b64encode(hmac.digest(_key(secret), signed, "sha256")).decode()
    return {
        "webhook-id": message.key,
        "webhook-timestamp": str(now_s),
        "webhook-signature": f"v1,{digest}",
    }


@lru_cache(maxsize=1_024)
def _key(secret: str) -> bytes:
    """Return the bytes of a secret. Raises ValueError where it is malformed."""
    return b64decode(secret.removeprefix("whsec_"), validate=True)


def result_of_status(status: int, retry_after: str) -> AttemptResult:
    """Return the attempt's result for an HTTP status."""
    reason = f"HTTP {status}"
    if 200 <= status < 300:
        return AttemptResult(AttemptStatus.DELIVERED, reason)
    if status in _RETRYABLE or status >= 500:
        delay_s = retry_after_seconds(retry_after, datetime.now(UTC))
        return AttemptResult(AttemptStatus.FAILED, reason, delay_s)
    return AttemptResult(AttemptStatus.REJECTED, reason)


def retry_after_seconds(header: str, now: datetime) -> float:
    """Return the seconds of a Retry-After header (a number or a date); 0 where it is malformed."""
    text = header.strip()
    if text.isascii() and text.isdecimal():
        return float(min(int(text[:9]), MAX_RETRY_AFTER))
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    # The standard demands a zone; without one the date counts as UTC.
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return min(max((aware - now).total_seconds(), 0.0), MAX_RETRY_AFTER)


async def _drain(content: aiohttp.StreamReader) -> None:
    """Read and discard a short body; the result depends on the status alone."""
    if content.is_eof():
        return
    read = 0
    with suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with asyncio.timeout(MAX_DRAIN_S):
            while read < MAX_DRAINED_BYTES and (part := await content.readany()):
                read += len(part)
