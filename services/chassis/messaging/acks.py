"""Matches JetStream's acknowledgements with messages that are sent without waiting for one another.

`JetStreamContext.publish_async` of nats-py does the same, but it never frees the slot of a message
whose sending raised, so its window closes in the course of many outages, and it turns a
cancellation into an error of its own.
"""

from __future__ import annotations

import asyncio
import json
from itertools import count

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.errors import APIError, NoStreamResponseError


class PublishAcks:
    """One inbox for all acknowledgements of a connection."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._numbers = count()
        self._expected: dict[str, asyncio.Future[None]] = {}

    async def open(self) -> None:
        """Subscribe to the inbox; call it once, when the connection is up."""
        self._inbox = self._client.new_inbox()
        self._subscription = await self._client.subscribe(f"{self._inbox}.*", cb=self._receive)

    async def close(self) -> None:
        if self._subscription is not None:
            await self._subscription.unsubscribe()

    def next_reply(self) -> tuple[str, asyncio.Future[None]]:
        """Return the reply subject of the next message, and the future of its acknowledgement.

        The future fails with nats.js.errors.APIError or NoStreamResponseError. It may never be
        done: the caller sets a limit and cancels it.
        """
        number = str(next(self._numbers))
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._expected[number] = future
        future.add_done_callback(lambda _: self._expected.pop(number, None))
        return f"{self._inbox}.{number}", future

    async def _receive(self, msg: Msg) -> None:
        future = self._expected.get(msg.subject.rpartition(".")[2])
        if future is None or future.done():
            return
        if not msg.data:
            # No stream has the subject.
            future.set_exception(NoStreamResponseError())
            return
        error = json.loads(msg.data).get("error")
        if error is not None:
            future.set_exception(APIError(error.get("code"), error.get("description")))
        else:
            future.set_result(None)
