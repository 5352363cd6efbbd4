"""Pulls the messages of publishers from JetStream, through a consumer that all replicas share.

A pull consumer delivers to the inbox of the replica that requests, so no other client can subscribe
to the messages, and each is delivered to one replica.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import AsyncExitStack, suppress
from typing import Self

import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import api

from services.chassis.messaging.jetstream import BUS_ERRORS, JetStreamBus

log = structlog.get_logger(__name__)

STREAM, SUBJECTS, CONSUMER = "ONEFOLD_IN", "onefold.in.>", "ingest"
#: The most messages that are decoded together.
MAX_BATCH = 500
#: Messages that may be requested or wait to be taken.
_PREFETCH = 2 * MAX_BATCH
#: Bytes of a request, and of the waiting messages beyond which none is requested: the largest
#: message fits. So all that is in flight is at most four times as much.
_MAX_BYTES = 16 << 20
_MAX_UNACKNOWLEDGED = 4 * MAX_BATCH
#: Seconds.
_ACK_WAIT_S = 60.0
_EXPIRES_S, _HEARTBEAT_S = 20.0, 1.0
_STATUS, _PENDING, _HEARTBEAT = "Status", "Nats-Pending-Messages", "100"
_ACK_PREFIX = f"$JS.ACK.{STREAM}.{CONSUMER}."


class ConsumerLost(nats.errors.Error):
    """The stream, the consumer or the connection is gone: open the consumer again."""


class EventConsumer:
    """`async with EventConsumer(bus) as consumer:`. Raises BUS_ERRORS."""

    def __init__(self, bus: JetStreamBus) -> None:
        self._bus = bus
        self._received: deque[Msg] = deque()
        self._received_bytes = 0
        self._requested = 0
        self._changed = asyncio.Event()
        self._lost = False
        self._alive_at = 0.0
        self._loop = asyncio.get_running_loop()

    async def take(self) -> list[Msg]:
        """Return the messages that arrived, at least one. Raises ConsumerLost, BUS_ERRORS."""
        while not self._received:
            await self._wait()
        taken: list[Msg] = []
        size = 0
        while self._received and len(taken) < MAX_BATCH and size < _MAX_BYTES:
            taken.append(self._received.popleft())
            size += len(taken[-1].data)
        self._received_bytes -= size
        # The next ones arrive while these are ingested.
        await self._request()
        return taken

    async def _wait(self) -> None:
        self._changed.clear()
        if self._lost:
            raise ConsumerLost
        await self._request()
        with suppress(TimeoutError):
            async with asyncio.timeout(_HEARTBEAT_S):
                await self._changed.wait()
        if self._loop.time() - self._alive_at > 3 * _HEARTBEAT_S:
            raise ConsumerLost

    async def _request(self) -> None:
        expected = self._requested + len(self._received)
        if expected > MAX_BATCH or self._received_bytes > _MAX_BYTES:
            return
        request = {
            "batch": _PREFETCH - expected,
            "max_bytes": _MAX_BYTES,
            "expires": int(_EXPIRES_S * 1e9),
            "idle_heartbeat": int(_HEARTBEAT_S * 1e9),
        }
        self._requested += _PREFETCH - expected
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{CONSUMER}"
        payload = json.dumps(request).encode()
        await self._bus.client.publish(subject, payload, reply=self._inbox)

    async def _receive(self, msg: Msg) -> None:
        self._alive_at = self._loop.time()
        headers = msg.headers or {}
        if msg.reply.startswith(_ACK_PREFIX):
            self._requested = max(0, self._requested - 1)
            self._received.append(msg)
            self._received_bytes += len(msg.data)
        elif headers.get(_STATUS) == _HEARTBEAT:
            return
        elif (pending := headers.get(_PENDING, "")).isdecimal():
            # A request ended before all its messages arrived: it expired, or reached a limit.
            self._requested = max(0, self._requested - int(pending[:9]))
        else:
            self._lost = True
        self._changed.set()

    def _mark_lost(self) -> None:
        """Open the consumer again: the requests that were open are gone."""
        self._lost = True
        self._changed.set()

    async def _ensure_stream(self) -> None:
        await self._bus.make_stream(_stream(self._bus.replicas))
        # Events that are delivered again are recognised by their ids.
        await self._bus.ensure_consumer(STREAM, _consumer())

    async def __aenter__(self) -> Self:
        client = self._bus.client
        await self._ensure_stream()
        async with AsyncExitStack() as stack:
            subscription = await client.subscribe(client.new_inbox(), cb=self._receive)
            stack.push_async_callback(unsubscribe, subscription)
            await stack.enter_async_context(self._bus.on_reconnect(self._mark_lost))
            self._inbox = subscription.subject
            self._alive_at = self._loop.time()
            self._scope = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._scope.aclose()


def _stream(replicas: int) -> api.StreamConfig:
    return api.StreamConfig(
        name=STREAM,
        subjects=[SUBJECTS],
        retention=api.RetentionPolicy.WORK_QUEUE,
        storage=api.StorageType.FILE,
        num_replicas=replicas,
        # The least that NATS takes. It compares ids across all sources: a longer window would lose
        # events of two sources with one id; the log recognises the repeats of each source.
        duplicate_window=0.1,
    )


def _consumer() -> api.ConsumerConfig:
    return api.ConsumerConfig(
        # With a name, the subject of the request contains it, so that permissions can.
        name=CONSUMER,
        durable_name=CONSUMER,
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=_ACK_WAIT_S,
        max_ack_pending=_MAX_UNACKNOWLEDGED,
    )


async def unsubscribe(subscription: Subscription) -> None:
    """End a subscription, also where NATS cannot be reached."""
    try:
        await subscription.unsubscribe()
    except BUS_ERRORS as error:
        log.debug("unsubscribe_failed", error=type(error).__name__)
