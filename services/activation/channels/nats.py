"""Publishes messages to a NATS subject, with the idempotency key as Nats-Msg-Id."""

from __future__ import annotations

import asyncio

import nats.errors
import structlog
from nats.js.errors import APIError, NotFoundError

from services.activation.channels import Message, Sender
from services.activation.domain.model import Destination
from services.activation.domain.subjects import AllowedSubjects
from services.activation.domain.system_channels import NatsSubject
from services.activation.domain.transitions import AttemptResult, AttemptStatus
from services.chassis.messaging.jetstream import JetStreamBus

TIMEOUT_S = 5.0
#: How long it is cached whether a stream stores a subject, seconds.
CACHE_S = 10.0

log = structlog.get_logger(__name__)


class NatsSender(Sender):
    """Publishes over the service's own connection.

    If a stream stores the subject, a message counts as delivered when the stream has stored it,
    once for each key within the stream's deduplication window. Otherwise it counts as delivered
    when the server has received it for the current subscribers.
    """

    def __init__(
        self, bus: JetStreamBus, subjects: AllowedSubjects, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        """`subjects`: those that the operator allows besides those of a workspace itself."""
        self._bus = bus
        self._subjects = subjects
        self._timeout_s = timeout_s
        #: By subject: whether a stream stores it, and when the entry expires.
        self._is_stored_cache: dict[str, tuple[bool, float]] = {}

    async def send(self, destination: Destination, message: Message) -> AttemptResult:
        channel = destination.channel
        if not isinstance(channel, NatsSubject):
            raise TypeError("a NATS sender publishes to subjects")
        # The operator may have taken a subject off the list since it was defined.
        if not self._subjects.allows(destination.workspace_id, channel.subject):
            return AttemptResult(AttemptStatus.REJECTED, "the subject is not allowed")
        # A disconnected client would buffer the message and send it at an unknown later time.
        if not self._bus.connected:
            return AttemptResult(AttemptStatus.FAILED, "NATS cannot be reached")
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._publish(channel.subject, message)
        except nats.errors.MaxPayloadError:
            return AttemptResult(AttemptStatus.REJECTED, "the message is too large for NATS")
        except APIError as error:
            self._is_stored_cache.pop(channel.subject, None)
            return AttemptResult(AttemptStatus.FAILED, f"JetStream error {error.code}")
        except (nats.errors.Error, TimeoutError, OSError) as error:
            self._is_stored_cache.pop(channel.subject, None)
            return AttemptResult(AttemptStatus.FAILED, type(error).__name__)
        return AttemptResult(AttemptStatus.DELIVERED)

    async def _publish(self, subject: str, message: Message) -> None:
        headers = {"Nats-Msg-Id": message.key, "Content-Type": "application/json"}
        if await self._is_stored(subject):
            await self._bus.jetstream.publish(
                subject, message.payload, timeout=self._timeout_s, headers=headers
            )
            return
        client = self._bus.client
        await client.publish(subject, message.payload, headers=headers)
        await client.flush(int(self._timeout_s) or 1)

    async def _is_stored(self, subject: str) -> bool:
        now = asyncio.get_running_loop().time()
        stored, expires = self._is_stored_cache.get(subject, (False, 0.0))
        if now < expires:
            return stored
        stored = True
        try:
            await self._bus.jetstream.find_stream_name_by_subject(subject)
        except NotFoundError:
            stored = False
        self._is_stored_cache[subject] = (stored, now + CACHE_S)
        return stored
