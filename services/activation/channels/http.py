"""Calls HTTP endpoints that tenants name: only public ones, and those that the operator allows."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Self

import aiohttp
from aiohappyeyeballs import SocketFactoryType
from aiohttp.abc import AbstractResolver

from services.activation.channels import ssrf
from services.activation.channels.ssrf import GuardedResolver, PrivateAddressError, TargetGuard

TIMEOUT_S = 15.0
MAX_RETRY_AFTER = 86_400.0
#: A response's body is read up to these limits, so that the connection can be reused; beyond them
#: the connection is closed, and the body is cut.
MAX_BODY_BYTES, BODY_S = 64 * 1024, 1.0
#: One reason for names that do not exist, for private hosts, whatever their names, and for all that
#: a private host can do instead of accepting a message: so a tenant learns neither names nor hosts
#: nor ports of an inner network. A name may get an address later, so the attempt is repeated.
NOT_REACHED = "the host is unknown, is not public, or did not accept the message"
MALFORMED = "the URL is malformed"


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """One request. Its text has neither headers nor body, which may be secret or personal."""

    url: str = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    method: str = "POST"
    #: Seconds for the body of the response.
    body_s: float = BODY_S


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """The response to a request."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def retry_after(self) -> float:
        """Seconds that the receiver demands to wait; 0 = it demands nothing."""
        return retry_after_seconds(self.headers.get("retry-after", ""), datetime.now(UTC))


class HttpFailure(Exception):
    """A request without a response. The message names no host."""

    def __init__(self, reason: str, *, sent: bool = False, malformed: bool = False) -> None:
        """`sent`: whether the receiver may have the request."""
        super().__init__(reason)
        self.sent = sent
        self.malformed = malformed


class HttpCaller(ABC):
    """Calls public addresses, and the private ones that the operator allows.

    Leaving the scope closes the connections.
    """

    def __init__(self, guard: TargetGuard) -> None:
        self._guard = guard

    async def call(self, request: OutboundRequest) -> HttpAnswer:
        """Make a request and return the response. Redirects are not followed.

        Raises HttpFailure where there is no response, or none that the caller may see.
        """
        try:
            host, port = ssrf.host_and_port(request.url)
        except ValueError:
            raise HttpFailure(MALFORMED, malformed=True) from None
        try:
            answer = await self._call(request, trusted=self._guard.is_trusted(host, port))
        except HttpFailure as failure:
            if not failure.malformed and self._guard.hides_reasons(host, port):
                raise HttpFailure(NOT_REACHED, sent=failure.sent) from None
            raise
        if not 200 <= answer.status < 300 and self._guard.hides_reasons(host, port):
            raise HttpFailure(NOT_REACHED)
        return answer

    @abstractmethod
    async def _call(self, request: OutboundRequest, *, trusted: bool) -> HttpAnswer: ...

    async def __aenter__(self) -> Self:
        return self

    @abstractmethod
    async def __aexit__(self, *_: object) -> None: ...


class HttpClient(HttpCaller):
    """Calls over HTTP/1.1; `timeout_s`: from the start to the status of the response, seconds."""

    def __init__(
        self,
        guard: TargetGuard,
        *,
        timeout_s: float = TIMEOUT_S,
        resolver: AbstractResolver | None = None,
    ) -> None:
        super().__init__(guard)
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

    async def _call(self, request: OutboundRequest, *, trusted: bool) -> HttpAnswer:
        try:
            if not trusted:
                self._guard.check_url(request.url)
            session = self._trusted if trusted else self._guarded
            async with session.request(
                request.method,
                request.url,
                data=request.body,
                headers=request.headers,
                allow_redirects=False,
            ) as response:
                headers = {name.lower(): text for name, text in response.headers.items()}
                return HttpAnswer(
                    response.status, headers, await _read(response.content, request.body_s)
                )
        except PrivateAddressError:
            raise HttpFailure(NOT_REACHED) from None
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            raise self._failure_of(error) from None

    def _failure_of(self, error: Exception) -> HttpFailure:
        match error:
            case aiohttp.ClientConnectorDNSError():
                return HttpFailure(NOT_REACHED)
            case aiohttp.ClientConnectorError(os_error=PrivateAddressError()):
                return HttpFailure(NOT_REACHED)
            case TimeoutError():
                return HttpFailure(f"no response within {self._timeout_s:g} s", sent=True)
            case aiohttp.ClientConnectorCertificateError():
                return HttpFailure("the certificate is not accepted")
            case aiohttp.ClientConnectorError():
                return HttpFailure("no connection")
            case aiohttp.ClientConnectionError() | OSError():
                return HttpFailure("the connection was lost", sent=True)
            case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
                return HttpFailure("the response is not HTTP", sent=True)
            case ValueError():
                return HttpFailure(MALFORMED, malformed=True)
            case _:
                return HttpFailure(type(error).__name__, sent=True)

    async def __aexit__(self, *_: object) -> None:
        await self._guarded.close()
        await self._trusted.close()


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


async def _read(content: aiohttp.StreamReader, body_s: float) -> bytes:
    """Return a short body whole, and the beginning of a long or slow one."""
    if content.at_eof():
        return b""
    body = bytearray()
    with suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with asyncio.timeout(body_s):
            while len(body) < MAX_BODY_BYTES and (part := await content.readany()):
                body += part
    return bytes(body)
