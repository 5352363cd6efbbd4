"""Webhooks, signed as Standard Webhooks (https://www.standardwebhooks.com, version 1)."""

from __future__ import annotations

import ipaddress
import socket
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from standardwebhooks.webhooks import Webhook as Signer
from yarl import URL

from services.activation.channels import Message
from services.activation.domain.decide import Outcome, Verdict
from services.activation.domain.model import Destination, Webhook

TIMEOUT_S = 15.0
MAX_RETRY_AFTER = 86_400.0
#: Answers after which the same message may be taken later; every 5xx is among them too.
_LATER = frozenset({408, 409, 425, 429})
_SENT_AS = {"content-type": "application/json", "user-agent": "onefold"}


class PrivateAddress(OSError):
    """A host is, or resolves to, an address that is not to be reached."""


class WebhookSender:
    """Sends over HTTP. `private`: whether loopback and private addresses may be reached."""

    def __init__(self, *, private: bool) -> None:
        self._private = private
        resolver = ThreadedResolver()
        # The check is at the moment of dialling: what a name meant before tells nothing.
        chosen: AbstractResolver = resolver if private else PublicResolver(resolver)
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=256, resolver=chosen, ttl_dns_cache=10),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            auto_decompress=False,
        )

    async def send(self, destination: Destination, message: Message) -> Outcome:
        """Make one attempt. Redirects are not followed."""
        channel = destination.channel
        if not isinstance(channel, Webhook):
            raise TypeError("a webhook sender sends webhooks")
        try:
            if not self._private:
                refuse_private_literal(channel.url)
            headers = _SENT_AS | sign(channel.secret, message, datetime.now(UTC))
            async with self._http.post(
                channel.url, data=message.body, headers=headers, allow_redirects=False
            ) as answer:
                return judge(answer.status, answer.headers.get("retry-after", ""))
        except PrivateAddress:
            return Outcome(Verdict.REFUSED, "the host has an address that is not public")
        except TimeoutError:
            return Outcome(Verdict.FAILED, f"no answer within {TIMEOUT_S:.0f} s")
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, PrivateAddress):
                return Outcome(Verdict.REFUSED, "the host has an address that is not public")
            return Outcome(Verdict.FAILED, "no connection")
        except aiohttp.InvalidURL:
            return Outcome(Verdict.REFUSED, "the URL cannot be read")
        except aiohttp.ClientError as error:
            return Outcome(Verdict.FAILED, type(error).__name__)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


def sign(secret: str, message: Message, now: datetime) -> dict[str, str]:
    """The headers webhook-id, webhook-timestamp and webhook-signature."""
    body = message.body.decode()
    return {
        "webhook-id": message.key,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Signer(secret).sign(message.key, now, body),
    }


def judge(status: int, retry_after: str) -> Outcome:
    """What an HTTP status tells."""
    reason = f"HTTP {status}"
    if 200 <= status < 300:
        return Outcome(Verdict.DELIVERED, reason)
    if status in _LATER or status >= 500:
        return Outcome(Verdict.FAILED, reason, pause_asked(retry_after))
    return Outcome(Verdict.REFUSED, reason)


def pause_asked(header: str) -> float:
    """Seconds of a Retry-After header (a number or a date); 0 where it tells nothing."""
    if header.strip().isdecimal():
        return min(float(header), MAX_RETRY_AFTER)
    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    seconds = (until.astimezone(UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def refuse_private_literal(url: str) -> None:
    """Raises PrivateAddress where the host is a private address in any spelling."""
    host = (URL(url).host or "").rstrip(".").removeprefix("[").removesuffix("]")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # inet_aton takes what browsers take: 2130706433, 0x7f.1, 0177.0.0.1.
        try:
            address = ipaddress.ip_address(socket.inet_aton(host))
        except OSError:
            return
    if not is_public(address):
        raise PrivateAddress(0, "not public")


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is of the open internet, seen through IPv4 inside IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


class PublicResolver(AbstractResolver):
    """Resolves names, and refuses those with an address that is not public."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Every address of the host. Raises PrivateAddress."""
        found = await self._inner.resolve(host, port, family)
        if not all(is_public(ipaddress.ip_address(f["host"].partition("%")[0])) for f in found):
            raise PrivateAddress(0, "not public")
        return found

    async def close(self) -> None:
        """Close the resolver."""
        await self._inner.close()
