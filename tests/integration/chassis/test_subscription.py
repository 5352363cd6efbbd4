"""Tests the pull subscription on a real NATS: its prefetch stays bounded."""

from __future__ import annotations

from service_fixtures import open_bus, wait_until

from services.chassis.messaging.jetstream import MAX_PAYLOAD, JetStreamBus
from services.chassis.messaging.stream import OutboxMessage
from services.chassis.messaging.subscription import PREFETCH_BYTES, PullSubscription

SUBJECT = "onefold.log.0"
MESSAGES = 20


async def publish(bus: JetStreamBus, first: int) -> None:
    await (await bus.publish(SUBJECT, OutboxMessage(first, first + 1, bytes(MAX_PAYLOAD))))


async def test_large_messages_are_prefetched_up_to_a_limit_and_none_is_lost(nats_url: str) -> None:
    async with (
        open_bus(nats_url, "test") as bus,
        PullSubscription(bus, SUBJECT, "test") as subscription,
    ):
        await bus.ready()
        await bus.ensure_stream("onefold.log")
        await publish(bus, 0)
        await wait_until(lambda: subscription.wait(1.0))
        for first in range(1, MESSAGES):
            await publish(bus, first)
        for first in range(MESSAGES):
            received = await wait_until(lambda: subscription.wait(1.0))
            assert received.message.first == first
            assert subscription.high_water_mark(0) <= first + 2 * PREFETCH_BYTES // MAX_PAYLOAD
            subscription.pop()
