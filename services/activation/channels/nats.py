"""Messages to a NATS subject, with the idempotency key as Nats-Msg-Id."""

from __future__ import annotations

from services.activation.channels import Message
from services.activation.domain.decide import Outcome, Verdict
from services.activation.domain.model import Destination, NatsSubject
from services.chassis.bus import Bus

TIMEOUT_S = 5


class NatsSender:
    """Publishes over the service's own connection."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def send(self, destination: Destination, message: Message) -> Outcome:
        """Make one attempt; delivered = the server has it. A stream there drops repeats."""
        channel = destination.channel
        if not isinstance(channel, NatsSubject):
            raise TypeError("a NATS sender sends to subjects")
        headers = {"Nats-Msg-Id": message.key, "Content-Type": "application/json"}
        try:
            client = self._bus.client
            await client.publish(channel.subject, message.body, headers=headers)
            await client.flush(TIMEOUT_S)
        except Exception as error:
            return Outcome(Verdict.FAILED, type(error).__name__)
        return Outcome(Verdict.DELIVERED)
