"""Messages to NATS subjects: stored once where a stream is, heard by whoever listens elsewhere."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import nats
import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import api

from services.activation.channels import Message
from services.activation.channels.nats import NatsSender
from services.activation.domain.model import Destination, NatsSubject, Trigger
from services.activation.domain.transitions import Outcome, Verdict
from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.testing import wait_until
from services.kernel.ids import WorkspaceId

DELIVERED = Outcome(Verdict.DELIVERED)


def to(subject: str) -> Destination:
    triggers = frozenset({Trigger.ENTERED})
    channel = NatsSubject(subject)
    return Destination(WorkspaceId("w"), "d", 1, "", channel, ("s",), triggers, b"{}", ())


def message(size: int = 10) -> Message:
    return Message(secrets.token_hex(16), b'{"a":"' + b"x" * size + b'"}', 1)


@pytest_asyncio.fixture(loop_scope="session")
async def bus(nats_url: str) -> AsyncIterator[JetStreamBus]:
    async with JetStreamBus(nats_url, name="activation") as opened:
        await opened.ready()
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def client(nats_url: str) -> AsyncIterator[Client]:
    connection = await nats.connect(nats_url)
    yield connection
    await connection.close()


async def test_those_who_listen_hear_it_with_its_key(bus: JetStreamBus, client: Client) -> None:
    heard: list[Msg] = []

    async def hear(msg: Msg) -> None:
        heard.append(msg)

    await client.subscribe("onefold.out.coupons", cb=hear)
    await client.flush()
    sent = [message() for _ in range(50)]
    sender = NatsSender(bus)
    outcomes = await asyncio.gather(*(sender.send(to("onefold.out.coupons"), m) for m in sent))
    assert set(outcomes) == {DELIVERED}
    await wait_until(lambda: len(heard) == 50)
    assert {m.headers["Nats-Msg-Id"] for m in heard} == {m.key for m in sent}  # type: ignore[index]
    assert {m.data for m in heard} == {m.body for m in sent}
    assert heard[0].headers["Content-Type"] == "application/json"  # type: ignore[index]


async def test_a_stream_keeps_one_of_a_key(bus: JetStreamBus, client: Client) -> None:
    stream = client.jetstream()
    await stream.add_stream(name="OUT", subjects=["onefold.out.>"])
    sender, sent = NatsSender(bus), message()
    for _ in range(3):
        assert await sender.send(to("onefold.out.coupons"), sent) == DELIVERED
    assert (await stream.stream_info("OUT")).state.messages == 1
    kept = await stream.get_last_msg("OUT", "onefold.out.coupons")
    assert kept.data == sent.body


async def test_what_a_stream_refuses_is_not_delivered(bus: JetStreamBus, client: Client) -> None:
    stream = client.jetstream()
    full = api.StreamConfig(
        name="FULL", subjects=["full.>"], max_msgs=1, discard=api.DiscardPolicy.NEW
    )
    await stream.add_stream(full)
    sender = NatsSender(bus)
    assert await sender.send(to("full.x"), message()) == DELIVERED
    outcome = await sender.send(to("full.x"), message())
    assert (outcome.verdict, outcome.reason) == (Verdict.FAILED, "JetStream error 503")


async def test_a_message_that_is_too_large_is_refused(bus: JetStreamBus) -> None:
    outcome = await NatsSender(bus).send(to("big"), message(bus.client.max_payload + 1))
    assert outcome == Outcome(Verdict.REFUSED, "the message is larger than NATS takes")


async def test_nats_away_is_a_failure_and_nothing_is_sent_later(nats_url: str) -> None:
    async with JetStreamBus("nats://127.0.0.1:1", name="activation") as away:
        await asyncio.sleep(0)  # it begins to connect
        outcome = await NatsSender(away).send(to("a"), message())
    assert outcome == Outcome(Verdict.FAILED, "NATS cannot be reached")


async def test_a_stream_that_is_made_later_is_found(bus: JetStreamBus, client: Client) -> None:
    sender = NatsSender(bus)
    assert await sender.send(to("late.x"), message()) == DELIVERED
    stream = client.jetstream()
    await stream.add_stream(name="LATE", subjects=["late.>"])
    sender._stored.clear()  # as it is after some seconds
    assert await sender.send(to("late.x"), message()) == DELIVERED
    assert (await stream.stream_info("LATE")).state.messages == 1
