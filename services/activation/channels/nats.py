"""Messages to a NATS subject, with the idempotency key as Nats-Msg-Id."""

from __future__ import annotations

import asyncio

import nats.errors
import structlog
from nats.js.errors import APIError, NotFoundError

from services.activation.channels import Message
from services.activation.domain.model import Destination, NatsSubject
from services.activation.domain.transitions import Outcome, Verdict
from services.chassis.messaging.jetstream import JetStreamBus

TIMEOUT_S = 5.0
#: How long it is believed that a subject is, or is not, of a stream, seconds.
BELIEVED_S = 10.0

log = structlog.get_logger(__name__)


class NatsSender:
    """Publishes over the service's own connection.

    Where a stream takes in the subject, delivered = it is stored there, once a key within the
    stream's window; elsewhere delivered = the server has it for those who listen now.
    """

    def __init__(self, bus: JetStreamBus, *, timeout_s: float = TIMEOUT_S) -> None:
        self._bus = bus
        self._timeout_s = timeout_s
        #: By subject: whether a stream takes it in, and until when that is believed.
        self._stored: dict[str, tuple[bool, float]] = {}

    async def send(self, destination: Destination, message: Message) -> Outcome:
        """Make one attempt."""
        channel = destination.channel
        if not isinstance(channel, NatsSubject):
            raise TypeError("a NATS sender sends to subjects")
        # A client that is not connected would keep the message, and send it at any time later.
        if not self._bus.connected:
            return Outcome(Verdict.FAILED, "NATS cannot be reached")
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._publish(channel.subject, message)
        except nats.errors.MaxPayloadError:
            return Outcome(Verdict.REFUSED, "the message is larger than NATS takes")
        except APIError as error:
            self._stored.pop(channel.subject, None)
            return Outcome(Verdict.FAILED, f"JetStream error {error.code}")
        except (nats.errors.Error, TimeoutError, OSError) as error:
            self._stored.pop(channel.subject, None)
            return Outcome(Verdict.FAILED, type(error).__name__)
        return Outcome(Verdict.DELIVERED)

    async def _publish(self, subject: str, message: Message) -> None:
        headers = {"Nats-Msg-Id": message.key, "Content-Type": "application/json"}
        if await self._is_stored(subject):
            await self._bus.jetstream.publish(
                subject, message.body, timeout=self._timeout_s, headers=headers
            )
            return
        client = self._bus.client
        await client.publish(subject, message.body, headers=headers)
        await client.flush(int(self._timeout_s) or 1)

    async def _is_stored(self, subject: str) -> bool:
        now = asyncio.get_running_loop().time()
        stored, until = self._stored.get(subject, (False, 0.0))
        if now < until:
            return stored
        try:
            await self._bus.jetstream.find_stream_name_by_subject(subject)
        except NotFoundError:
            stored = False
        else:
            stored = True
        self._stored[subject] = (stored, now + BELIEVED_S)
        return stored
