"""Webhooks, signed as Standard Webhooks (https://www.standardwebhooks.com, version 1)."""

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

from services.activation.channels import Message
from services.activation.channels.ssrf import (
    PrivateAddress,
    PublicResolver,
    Resolver,
    public_socket,
    refuse_private,
)
from services.activation.domain.model import Destination, Webhook
from services.activation.domain.transitions import Outcome, Verdict

TIMEOUT_S = 15.0
MAX_RETRY_AFTER = 86_400.0
#: Of an answer's body so many bytes, for so many seconds, are let pass for the connection to be
#: used again; what is longer or slower is cut off. Nothing of it is kept.
PASSED_BYTES, PASSED_S = 64 * 1024, 1.0
#: Answers after which the same message may be taken later; every 5xx is among them too.
_LATER = frozenset({408, 409, 425, 429})
_SENT_AS = {"content-type": "application/json", "user-agent": "onefold"}
_NOT_PUBLIC = Outcome(Verdict.REFUSED, "the host has an address that is not public")


class WebhookSender:
    """Sends over HTTP. `private`: whether loopback and private addresses may be reached.

    `timeout_s`: from the begin of an attempt to the status of its answer, seconds. Leaving the
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
        names = resolver or Resolver()
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                # Each destination has a bound of its own: those that hang take from nobody else.
                limit=0,
                resolver=names if private else PublicResolver(names),
                ttl_dns_cache=10,
                socket_factory=None if private else public_socket,
            ),
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def send(self, destination: Destination, message: Message) -> Outcome:
        """Make one attempt. Redirects are not followed."""
        channel = destination.channel
        if not isinstance(channel, Webhook):
            raise TypeError("a webhook sender sends webhooks")
        try:
            if not self._private:
                refuse_private(channel.url)
            return await self._post(channel, message)
        except PrivateAddress:
            return _NOT_PUBLIC
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            return self._outcome_of(error)

    async def _post(self, channel: Webhook, message: Message) -> Outcome:
        headers = _SENT_AS | sign(channel.secret, message, int(time.time()))
        async with self._http.post(
            channel.url, data=message.body, headers=headers, allow_redirects=False
        ) as answer:
            outcome = judge(answer.status, answer.headers.get("retry-after", ""))
            await _let_pass(answer.content)
            return outcome

    def _outcome_of(self, error: Exception) -> Outcome:
        match error:
            case aiohttp.ClientConnectorError(os_error=PrivateAddress()):
                return _NOT_PUBLIC
            case TimeoutError():
                return Outcome(Verdict.FAILED, f"no answer within {self._timeout_s:g} s")
            case aiohttp.ClientConnectorCertificateError():
                return Outcome(Verdict.FAILED, "the certificate is not accepted")
            case aiohttp.ClientConnectorDNSError():
                return Outcome(Verdict.FAILED, "the host has no address")
            case aiohttp.ClientConnectorError():
                return Outcome(Verdict.FAILED, "no connection")
            case aiohttp.ClientConnectionError() | OSError():
                return Outcome(Verdict.FAILED, "the connection was lost")
            case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
                return Outcome(Verdict.FAILED, "the answer is no HTTP")
            case ValueError():
                return Outcome(Verdict.REFUSED, "the URL cannot be read")
        return Outcome(Verdict.FAILED, type(error).__name__)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()


def sign(secret: str, message: Message, now_s: int) -> dict[str, str]:
    """The headers webhook-id, webhook-timestamp and webhook-signature; `now_s` in Unix seconds."""
    signed = b"%s.%d.%s" % (message.key.encode(), now_s, message.body)
    digest = b64encode(hmac.digest(_key(secret), signed, "sha256")).decode()
    return {
        "webhook-id": message.key,
        "webhook-timestamp": str(now_s),
        "webhook-signature": f"v1,{digest}",
    }


@lru_cache(maxsize=1_024)
def _key(secret: str) -> bytes:
    """The bytes of a secret. Raises ValueError where it is none."""
    return b64decode(secret.removeprefix("whsec_"), validate=True)


def judge(status: int, retry_after: str) -> Outcome:
    """What an HTTP status tells."""
    reason = f"HTTP {status}"
    if 200 <= status < 300:
        return Outcome(Verdict.DELIVERED, reason)
    if status in _LATER or status >= 500:
        return Outcome(Verdict.FAILED, reason, pause_asked(retry_after, datetime.now(UTC)))
    return Outcome(Verdict.REFUSED, reason)


def pause_asked(header: str, now: datetime) -> float:
    """Seconds of a Retry-After header (a number or a date); 0 where it tells nothing."""
    text = header.strip()
    if text.isascii() and text.isdecimal():
        return float(min(int(text[:9]), MAX_RETRY_AFTER))
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    # A date without a zone, which the standard does not know, is one of UTC.
    aware = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max((aware - now).total_seconds(), 0.0), MAX_RETRY_AFTER)


async def _let_pass(content: aiohttp.StreamReader) -> None:
    """Let the rest of a short answer pass; the outcome is known by its status alone."""
    if content.is_eof():
        return
    passed = 0
    with suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with asyncio.timeout(PASSED_S):
            while passed < PASSED_BYTES and (part := await content.readany()):
                passed += len(part)
