"""Tests messages to NATS subjects, with a stream that stores them and without one."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import nats
import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import api
from service_fixtures import open_bus, wait_until

from services.activation.channels import Message
from services.activation.channels.nats import NatsSender
from services.activation.domain.model import Destination, Trigger
from services.activation.domain.subjects import AllowedSubjects
from services.activation.domain.system_channels import NatsSubject
from services.activation.domain.transitions import AttemptResult, AttemptStatus
from services.chassis.messaging.jetstream import JetStreamBus
from services.kernel.ids import WorkspaceId

DELIVERED = AttemptResult(AttemptStatus.DELIVERED)
SUBJECTS = AllowedSubjects.parse("w=full.>,w=late.>,*=big")


def to(subject: str) -> Destination:
    triggers = frozenset({Trigger.ENTERED})
    channel = NatsSubject(subject)
    return Destination(WorkspaceId("w"), "d", 1, "", channel, ("s",), triggers, b"{}", ())


def message(size: int = 10) -> Message:
    return Message(secrets.token_hex(16), b'{"a":"' + b"x" * size + b'"}', 1)


@pytest_asyncio.fixture(loop_scope="session")
async def bus(nats_url: str) -> AsyncIterator[JetStreamBus]:
    async with open_bus(nats_url, "activation") as opened:
        await opened.ready()
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def client(nats_url: str) -> AsyncIterator[Client]:
    connection = await nats.connect(nats_url)
    yield connection
    await connection.close()


async def test_subscribers_receive_messages_with_their_keys(
    bus: JetStreamBus, client: Client
) -> None:
    received: list[Msg] = []

    async def receive(msg: Msg) -> None:
        received.append(msg)

    await client.subscribe("onefold.out.w.coupons", cb=receive)
    await client.flush()
    sent = [message() for _ in range(50)]
    sender = NatsSender(bus, SUBJECTS)
    results = await asyncio.gather(*(sender.send(to("onefold.out.w.coupons"), m) for m in sent))
    assert set(results) == {DELIVERED}
    await wait_until(lambda: len(received) == 50)
    assert {m.headers["Nats-Msg-Id"] for m in received} == {m.key for m in sent}  # type: ignore[index]
    assert {m.data for m in received} == {m.payload for m in sent}
    assert received[0].headers["Content-Type"] == "application/json"  # type: ignore[index]


async def test_stream_stores_one_message_of_a_key(bus: JetStreamBus, client: Client) -> None:
    stream = client.jetstream()
    await stream.add_stream(name="OUT", subjects=["onefold.out.>"])
    sender, sent = NatsSender(bus, SUBJECTS), message()
    for _ in range(3):
        assert await sender.send(to("onefold.out.w.coupons"), sent) == DELIVERED
    assert (await stream.stream_info("OUT")).state.messages == 1
    stored = await stream.get_last_msg("OUT", "onefold.out.w.coupons")
    assert stored.data == sent.payload


async def test_message_that_the_stream_rejects_fails(bus: JetStreamBus, client: Client) -> None:
    stream = client.jetstream()
    full = api.StreamConfig(
        name="FULL", subjects=["full.>"], max_msgs=1, discard=api.DiscardPolicy.NEW
    )
    await stream.add_stream(full)
    sender = NatsSender(bus, SUBJECTS)
    assert await sender.send(to("full.x"), message()) == DELIVERED
    result = await sender.send(to("full.x"), message())
    assert (result.status, result.reason) == (AttemptStatus.FAILED, "JetStream error 503")


async def test_message_that_is_too_large_is_rejected(bus: JetStreamBus) -> None:
    result = await NatsSender(bus, SUBJECTS).send(to("big"), message(bus.client.max_payload + 1))
    assert result == AttemptResult(AttemptStatus.REJECTED, "the message is too large for NATS")


async def test_unreachable_nats_fails_the_attempt_and_buffers_nothing(nats_url: str) -> None:
    async with open_bus("nats://127.0.0.1:1", "activation") as away:
        await asyncio.sleep(0)  # the client starts to connect
        result = await NatsSender(away, SUBJECTS).send(to("big"), message())
    assert result == AttemptResult(AttemptStatus.FAILED, "NATS cannot be reached")


async def test_stream_that_is_created_later_is_found(bus: JetStreamBus, client: Client) -> None:
    sender = NatsSender(bus, SUBJECTS)
    assert await sender.send(to("late.x"), message()) == DELIVERED
    stream = client.jetstream()
    await stream.add_stream(name="LATE", subjects=["late.>"])
    sender._is_stored_cache.clear()  # as after some seconds
    assert await sender.send(to("late.x"), message()) == DELIVERED
    assert (await stream.stream_info("LATE")).state.messages == 1
