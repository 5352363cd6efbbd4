"""Calls HTTP/2 endpoints: many requests over one connection, as Apple demands."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from contextlib import suppress

import httpcore2

from services.activation.channels.http import (
    MALFORMED,
    MAX_BODY_BYTES,
    NOT_REACHED,
    TIMEOUT_S,
    HttpAnswer,
    HttpCaller,
    HttpFailure,
    OutboundRequest,
)
from services.activation.channels.ssrf import PrivateAddressError, TargetDialer

#: Seconds for which a connection without a request is kept.
IDLE_S = 600.0
MAX_CONNECTIONS = 64


#: Errors before a request was sent.
_NOT_SENT = (httpcore2.ConnectError, httpcore2.ConnectTimeout, httpcore2.PoolTimeout, OSError)


class _DialledNetwork(httpcore2.AsyncNetworkBackend):
    """Dials only addresses that the guard allows."""

    def __init__(self, dialer: TargetDialer) -> None:
        self._dialer = dialer
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        error: Exception = OSError("the host has no address")
        async with asyncio.timeout(timeout):
            for found in await self._dialer.addresses(host, port):
                try:
                    # By its address: the name could lead elsewhere a second time.
                    return await self._network.connect_tcp(
                        found["host"], port, timeout, local_address, socket_options
                    )
                except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as failed:
                    error = failed
        raise error


class Http2Client(HttpCaller):
    """Calls over HTTP/2 alone.

    `tls`: with what certificates are checked; None = the authorities of the system.
    """

    def __init__(
        self,
        dialer: TargetDialer,
        *,
        timeout_s: float = TIMEOUT_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(dialer.guard)
        self._timeout_s = timeout_s
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls or ssl.create_default_context(),
            http1=False,
            http2=True,
            keepalive_expiry=IDLE_S,
            max_connections=MAX_CONNECTIONS,
            network_backend=_DialledNetwork(dialer),
        )

    async def _call(self, request: OutboundRequest, *, trusted: bool) -> HttpAnswer:
        steps = ("connect", "read", "write", "pool")
        times = {"timeout": dict.fromkeys(steps, self._timeout_s)}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._pool.stream(
                    request.method,
                    request.url,
                    headers=list(request.headers.items()),
                    content=request.body,
                    extensions=times,
                ) as response,
            ):
                headers = {
                    k.decode("latin-1").lower(): v.decode("latin-1") for k, v in response.headers
                }
                return HttpAnswer(response.status, headers, await _read(response, request.body_s))
        except PrivateAddressError:
            raise HttpFailure(NOT_REACHED) from None
        except TimeoutError:
            raise HttpFailure(f"no response within {self._timeout_s:g} s", sent=True) from None
        except (httpcore2.UnsupportedProtocol, ValueError):
            raise HttpFailure(MALFORMED, malformed=True) from None
        except _NOT_SENT:
            raise HttpFailure("no connection") from None
        except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError):
            raise HttpFailure("the connection was lost", sent=True) from None

    async def __aexit__(self, *_: object) -> None:
        await self._pool.aclose()


async def _read(response: httpcore2.Response, body_s: float) -> bytes:
    """Return a short body whole, and the beginning of a long or slow one."""
    body = bytearray()
    with suppress(TimeoutError, httpcore2.NetworkError, httpcore2.ProtocolError):
        async with asyncio.timeout(body_s):
            async for part in response.aiter_stream():
                body += part
                if len(body) >= MAX_BODY_BYTES:
                    break
    return bytes(body)
