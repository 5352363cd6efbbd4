"""Responds to the requests of publishers that need the result, within a bound of memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from services.chassis.messaging.jetstream import BUS_ERRORS
from services.ingest.api.nats_consumer import unsubscribe
from services.ingest.api.nats_message import MAX_BYTES
from services.ingest.codec.compression import is_compressed

log = structlog.get_logger(__name__)

#: Replicas share the requests.
REQUEST_SUBJECT, GROUP = "onefold.request.>", "ingest"
#: The beginnings of the inboxes of clients, of another account or of the same. A reply to another
#: subject would be a message of this service there.
_REPLY_PREFIXES = ("_R_.", "_INBOX")
_MAX_CONCURRENT = 256
#: Bytes of the requests in flight with their events, and of those that wait for them; what exceeds
#: the latter is dropped, and its publisher sends it again.
IN_FLIGHT_BYTES, _WAITING_BYTES = 64 << 20, 32 << 20

Respond = Callable[[Msg], Awaitable[dict[str, object]]]


class RequestServer:
    """Responds to requests for as long as `serving` runs."""

    def __init__(self, respond: Respond, requests: asyncio.TaskGroup) -> None:
        self._respond = respond
        self._client: Client | None = None
        self._requests = requests
        self._changed = asyncio.Event()
        self._count = 0
        #: The bytes of the requests in flight.
        self.held_bytes = 0

    @asynccontextmanager
    async def serving(self, client: Client) -> AsyncIterator[None]:
        """Respond inside the scope. Raises BUS_ERRORS."""
        subscription = await client.subscribe(
            REQUEST_SUBJECT, queue=GROUP, cb=self.on_request, pending_bytes_limit=_WAITING_BYTES
        )
        self._client = client
        try:
            yield
        finally:
            await unsubscribe(subscription)

    async def on_request(self, msg: Msg) -> None:
        """Start to handle a request, as soon as there is room for it."""
        # Its body, and its events as they are decoded.
        size = len(msg.data) + (MAX_BYTES if is_compressed(msg.data) else len(msg.data))
        while self._count and (
            self._count >= _MAX_CONCURRENT or self.held_bytes + size > IN_FLIGHT_BYTES
        ):
            self._changed.clear()
            await self._changed.wait()
        self._count += 1
        self.held_bytes += size
        self._requests.create_task(self._handle(msg, size))

    async def _handle(self, msg: Msg, size: int) -> None:
        try:
            response = await self._respond(msg)
            if self._client is not None and msg.reply.startswith(_REPLY_PREFIXES):
                # `Msg.respond` would send the headers of the request back, with the write key.
                await self._client.publish(msg.reply, msgspec.json.encode(response))
        except BUS_ERRORS as error:
            log.debug("response_lost", error=type(error).__name__)
        finally:
            self._count -= 1
            self.held_bytes -= size
            self._changed.set()
