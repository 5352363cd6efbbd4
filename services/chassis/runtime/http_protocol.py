"""Speaks HTTP/1.1 within limits: a client that exceeds one is disconnected at little cost.

uvicorn and its parser have no limit for heads, and join the pieces of a long header again and
again. Here a head is handed to the parser in pieces that end at the limit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.chassis.runtime.addresses import address_group, is_within
from services.chassis.runtime.http_errors import closing_response
from services.chassis.runtime.http_limits import ConnectionTable

#: Strangers cause the warnings of the protocol, so they are counted and not logged.
_QUIET = logging.getLogger("uvicorn.protocol")
_QUIET.setLevel(logging.ERROR)
#: How long a connection that is closed may take to send what it has to, seconds.
_CLOSING_S = 5.0
_CONNECTION = "connection"

Table = ConnectionTable["BoundedHttpProtocol"]
#: Counts a connection that was cut off, by its reason.
CountCutOff = Callable[[str], None]


class _LimitExceeded(Exception):
    """A request exceeds a limit of the server."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection, within the limits of its server."""

    def __init__(self, table: Table, count: CountCutOff, **uvicorn_arguments: Any) -> None:
        super().__init__(**uvicorn_arguments)
        self.logger = _QUIET
        self._table = table
        self._limits = table.limits
        self._count = count
        self._awaits_head = True
        self._head_bytes = 0
        #: The bytes of a body that are not content, less a quarter of the content.
        self._framing_bytes = 0
        #: The bytes of bodies that no endpoint has read yet.
        self._buffered = 0
        self._exceeded: _LimitExceeded | None = None
        #: Drops a connection that does not read, or that does not end.
        self._drop_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Add the connection to the table, and drop another one where there are too many."""
        super().connection_made(cast(asyncio.Transport, transport))
        peer = self.client[0] if self.client else ""
        counted = "" if is_within(peer, self._limits.proxies) else address_group(peer)
        if not self._table.open(self, counted, self.loop.time()):
            self._cut_off(503, "CONNECTIONS", "your address has too many connections", retry_s=1)
        elif (surplus := self._table.surplus()) is not None:
            surplus.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from the table."""
        self._table.close(self)
        self.endpoint_has_read()
        self._cancel_drop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what the client sent, in pieces that end at the limits."""
        rest = memoryview(data)
        while rest and not self.transport.is_closing():
            limit = self._limits.head_bytes
            room = limit - self._head_bytes if self._awaits_head else limit
            if room <= 0:
                self._cut_off(431, "HEAD_TOO_LARGE", f"a head has at most {limit} bytes")
                return
            piece, rest = rest[:room], rest[room:]
            if self._awaits_head:
                self._head_bytes += len(piece)
            else:
                self._framing_bytes += len(piece)
            super().data_received(cast(bytes, piece))
            if not self._awaits_head and self._framing_bytes > self._limits.framing_bytes:
                self._cut_off(400, "BODY_INVALID", "the chunks are too small: send larger ones")

    def on_message_begin(self) -> None:
        """Start a request, unless too many wait for their turn."""
        if len(self.pipeline) >= self._limits.pipelined:
            raise self._exceed(400, "PIPELINED", "wait for the responses to earlier requests")
        super().on_message_begin()
        self.scope["state"][_CONNECTION] = self

    def on_headers_complete(self) -> None:
        """Start to wait for the key of the request, unless it has too many headers."""
        most = self._limits.headers
        if len(self.headers) > most:
            raise self._exceed(431, "HEAD_TOO_LARGE", f"a request has at most {most} headers")
        self._awaits_head = False
        self._framing_bytes = 0
        self._table.wait(self, self.loop.time())
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Buffer a part of the body, within the memory of all of them."""
        size = len(body)
        self._framing_bytes -= size + (size >> 2)
        super().on_body(body)
        if self.cycle.response_complete:
            return
        self._buffered += size
        self._table.buffered += size
        if self._table.buffered > self._limits.buffered_bytes:
            raise self._exceed(503, "BUSY", "the server receives too much at once: send it again")

    def on_message_complete(self) -> None:
        """Start to wait for the next head, where the response was sent before the body ended."""
        self._awaits_head = True
        self._head_bytes = 0
        self._table.complete(self)
        if self.cycle.response_complete:
            self._table.wait(self, self.loop.time())
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Start to wait for the next head, or for the end of a body that is not read."""
        super().on_response_complete()
        self._table.wait(self, self.loop.time())

    def pause_writing(self) -> None:
        """Give the client some time to read what was sent."""
        super().pause_writing()
        if self._drop_timer is None:
            self._drop_timer = self.loop.call_later(self._limits.unread_s, self.drop, "UNREAD")

    def resume_writing(self) -> None:
        """Note that the client reads."""
        if not self.transport.is_closing():
            self._cancel_drop()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that the parser refused, or that exceeds a limit."""
        exceeded = self._exceeded
        if exceeded is None:
            self._cut_off(400, "REQUEST_INVALID", "the request is not valid HTTP")
        else:
            retry_s = 1 if exceeded.status == 503 else 0
            self._cut_off(exceeded.status, exceeded.code, str(exceeded), retry_s=retry_s)

    @property
    def has_whole_body(self) -> bool:
        """Whether the body of the newest request has arrived, and no other request waits."""
        return self._awaits_head and not self.pipeline

    def trust(self) -> None:
        """Note that the current request has a known key."""
        self._table.trust(self, self.loop.time(), body_is_complete=self._awaits_head)

    def endpoint_has_read(self) -> None:
        """Note that the endpoint has taken what was received of the body."""
        self._table.buffered -= self._buffered
        self._buffered = 0

    def expire(self) -> None:
        """Close the connection, as it has waited for too long."""
        self._table.close(self)
        if self._awaits_head and not self._head_bytes:
            self._close()  # an idle connection is no fault
        else:
            self._cut_off(408, "TOO_SLOW", "the request did not arrive in time: send it again")

    def drop(self, reason: str = "CONNECTIONS") -> None:
        """Close the connection at once."""
        self._table.close(self)
        self._count(reason)
        self.transport.abort()

    def _exceed(self, status: int, code: str, message: str) -> _LimitExceeded:
        self._exceeded = _LimitExceeded(status, code, message)
        return self._exceeded

    def _cut_off(self, status: int, code: str, message: str, *, retry_s: int = 0) -> None:
        """Answer with an error, if no response has begun, and close the connection."""
        self._count(code)
        cycle = self.cycle
        is_answered = cycle is not None and cycle.response_started
        if not is_answered or (cycle.response_complete and self._awaits_head):
            self.transport.write(closing_response(status, code, message, retry_s))
        if cycle is not None:
            cycle.disconnected = True  # the endpoint's response would follow this one
            cycle.message_event.set()
        self._close()

    def _close(self) -> None:
        self._table.close(self)
        # A client that does not read would leave the connection half closed.
        self._cancel_drop()
        self._drop_timer = self.loop.call_later(_CLOSING_S, self.transport.abort)
        self.transport.close()

    def _cancel_drop(self) -> None:
        if self._drop_timer is not None:
            self._drop_timer.cancel()
            self._drop_timer = None


def bounded(app: ASGIApp) -> ASGIApp:
    """Return the application, which reports to the connection what it has read of a body."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        connection: BoundedHttpProtocol = scope["state"][_CONNECTION]

        async def receive_and_report() -> Message:
            message = await receive()
            connection.endpoint_has_read()
            return message

        # A client that went away is no failure of the service, so it is not logged as one.
        with suppress(ClientDisconnect):
            await app(scope, receive_and_report, send)

    return call


def trust_connection(scope: Scope) -> None:
    """Note that the request has a known key: its connection is no longer dropped for a newer one.

    A request that did not arrive through a BoundedHttpProtocol is ignored.
    """
    connection = scope.get("state", {}).get(_CONNECTION)
    if connection is not None:
        connection.trust()


def has_whole_body(scope: Scope) -> bool:
    """Return whether the body of a request has arrived; False where that is not known."""
    connection = scope.get("state", {}).get(_CONNECTION)
    return connection is not None and connection.has_whole_body
