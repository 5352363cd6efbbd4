"""Replicas of ingest share the messages of publishers, and each is delivered to one of them."""

from __future__ import annotations

import asyncio

import nats
from nats.aio.msg import Msg
from service_fixtures import open_bus, wait_until

from services.chassis.messaging.jetstream import JetStreamBus
from services.ingest.api.nats_consumer import CONSUMER, MAX_BATCH, STREAM, EventConsumer

MESSAGES = 3 * MAX_BATCH


async def take_all(consumer: EventConsumer, taken: list[bytes], ends: asyncio.Event) -> None:
    while not ends.is_set():
        for msg in await consumer.take():
            taken.append(msg.data)
            await msg.ack()


async def publish(url: str, count: int, size: int = 1) -> None:
    client = await nats.connect(url)
    for number in range(count):
        await client.publish("onefold.in.w.s", str(number).encode().ljust(size))
        if number % 200 == 0:
            await client.jetstream().publish("onefold.in.w.s", b"mark")
    await client.flush()
    await client.close()


async def is_empty(bus: JetStreamBus) -> bool:
    return (await bus.jetstream.stream_info(STREAM)).state.messages == 0


async def test_two_replicas_take_each_message_once(nats_url: str) -> None:
    one: list[bytes] = []
    two: list[bytes] = []
    ends = asyncio.Event()
    async with open_bus(nats_url, "ingest") as first, open_bus(nats_url, "ingest") as second:
        await first.ready()
        await second.ready()
        async with EventConsumer(first) as a, EventConsumer(second) as b:
            tasks = [asyncio.create_task(take_all(a, one, ends))]
            tasks += [asyncio.create_task(take_all(b, two, ends))]
            await publish(nats_url, MESSAGES)
            await wait_until(lambda: is_empty(first))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    taken = [data for data in (*one, *two) if data != b"mark"]
    assert sorted(map(int, taken)) == list(range(MESSAGES))
    assert one
    assert two


async def test_large_messages_wait_in_bounded_memory_and_all_are_taken(nats_url: str) -> None:
    size, count = 1 << 20, 80
    async with open_bus(nats_url, "ingest") as bus:
        await bus.ready()
        async with EventConsumer(bus) as consumer:
            await publish(nats_url, count, size)
            taken: list[Msg] = []
            most = 0
            while len(taken) <= count:
                found = await consumer.take()
                most = max(most, sum(len(msg.data) for msg in found))
                taken += found
                for msg in found:
                    await msg.ack()
            assert most <= 100 << 20
            await wait_until(lambda: is_empty(bus))


async def test_consumer_of_another_configuration_is_replaced(nats_url: str) -> None:
    """Such as one that delivers to a subject, which anybody could subscribe to."""
    client = await nats.connect(nats_url)
    jetstream = client.jetstream()
    await jetstream.add_stream(name=STREAM, subjects=["onefold.in.>"], retention="workqueue")
    await jetstream.add_consumer(
        STREAM, durable_name=CONSUMER, deliver_subject="onefold.deliver.in", ack_policy="explicit"
    )
    await jetstream.publish("onefold.in.w.s", b"event")
    async with open_bus(nats_url, "ingest") as bus:
        await bus.ready()
        async with EventConsumer(bus) as consumer:
            assert [msg.data for msg in await consumer.take()] == [b"event"]
        assert not (await jetstream.consumer_info(STREAM, CONSUMER)).config.deliver_subject
    await client.close()
