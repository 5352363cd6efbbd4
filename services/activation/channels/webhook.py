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
from aiohttp.abc import AbstractResolver

from services.activation.channels import Message, ssrf
from services.activation.channels.ssrf import PrivateAddressError
from services.activation.domain.model import Destination, Webhook
from services.activation.domain.transitions import AttemptResult, AttemptStatus

TIMEOUT_S = 15.0
MAX_RETRY_AFTER = 86_400.0
#: A response's body is read and discarded up to these limits, so that the connection can be
#: reused; beyond them the connection is closed.
MAX_DRAINED_BYTES, MAX_DRAIN_S = 64 * 1024, 1.0
#: Statuses after which a retry may succeed, beside every 5xx.
_RETRYABLE = frozenset({408, 409, 425, 429})
_HEADERS = {"content-type": "application/json", "user-agent": "onefold"}
_NOT_PUBLIC = AttemptResult(AttemptStatus.REJECTED, "the host has an address that is not public")


class WebhookSender:
    """Sends over HTTP. `private`: whether loopback and private addresses are allowed.

    `timeout_s`: from the start of an attempt to the status of the response, seconds. Leaving the
    scope closes the connections.
    """

    def __init__(
        self,
        *,
        private: bool,
        timeout_s: float = TIMEOUT_S,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._private = private
        self._timeout_s = timeout_s
        names = resolver or ssrf.Resolver()
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                # Each destination has its own limit, so one that hangs cannot starve the others.
                limit=0,
                resolver=names if private else ssrf.PublicResolver(names),
                ttl_dns_cache=10,
                socket_factory=None if private else ssrf.connect_public,
            ),
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def send(self, destination: Destination, message: Message) -> AttemptResult:
        """Make one attempt. Redirects are not followed."""
        channel = destination.channel
        if not isinstance(channel, Webhook):
            raise TypeError("a webhook sender sends webhooks")
        try:
            if not self._private:
                ssrf.reject_private(channel.url)
            return await self._post(channel, message)
        except PrivateAddressError:
            return _NOT_PUBLIC
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            return self._result_of_error(error)

    async def _post(self, channel: Webhook, message: Message) -> AttemptResult:
        headers = _HEADERS | sign(channel.secret, message, int(time.time()))
        async with self._http.post(
            channel.url, data=message.payload, headers=headers, allow_redirects=False
        ) as response:
            result = result_of_status(response.status, response.headers.get("retry-after", ""))
            await _drain(response.content)
            return result

    def _result_of_error(self, error: Exception) -> AttemptResult:
        match error:
            case aiohttp.ClientConnectorError(os_error=PrivateAddressError()):
                return _NOT_PUBLIC
            case TimeoutError():
                reason = f"no response within {self._timeout_s:g} s"
            case aiohttp.ClientConnectorCertificateError():
                reason = "the certificate is not accepted"
            case aiohttp.ClientConnectorDNSError():
                reason = "the host has no address"
            case aiohttp.ClientConnectorError():
                reason = "no connection"
            case aiohttp.ClientConnectionError() | OSError():
                reason = "the connection was lost"
            case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
                reason = "the response is not HTTP"
            case ValueError():
                return AttemptResult(AttemptStatus.REJECTED, "the URL is malformed")
            case _:
                reason = type(error).__name__
        return AttemptResult(AttemptStatus.FAILED, reason)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()


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
