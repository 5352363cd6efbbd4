"""Sends serialised requests and measures how they are processed, in a separate process.

`bench.pipeline` starts it, writes one task a line (JSON) to its standard input, and reads one
result a line (JSON) from its standard output.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import uvloop
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsResponse
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.segment.v1.segment_stream_pb2 import MembershipsChanged

from bench import load
from services import SERVICES
from services.chassis.codec.fields import token_from_proto, token_to_proto
from services.chassis.messaging.envelope import MessageAuthenticator
from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.messaging.subscription import PullSubscription
from services.chassis.runtime import logs
from services.chassis.runtime.tasks import background
from services.kernel.identifiers.model import Identifier
from services.kernel.tokens import Token
from tests.index_key import INDEX_KEY

_INGEST = "/onefold.ingest.v1.IngestService/IngestEvents"
#: Those of a system without settings.
SHARDS = 4
#: Seconds to wait for the last messages.
GIVE_UP_S = 30.0
#: The stream that says who enters a segment.
LAST_STREAM = "segment"
_AWAIT = "/onefold.projection.v1.ProjectionService/AwaitToken"


@dataclass(slots=True)
class SentEvents:
    """The acknowledged events, and how many of them the last service has folded."""

    acknowledged: int = 0
    reached: int = 0
    #: Counts of acknowledged events, each with the state of the log that includes them.
    tokens: deque[tuple[int, Token]] = field(default_factory=deque)
    newest: Token = field(default_factory=Token)
    #: (instant, events reached)
    progress: list[tuple[float, int]] = field(default_factory=list)
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, response: IngestEventsResponse) -> None:
        if response.rejections:
            raise RuntimeError(f"rejected: {response.rejections[0].message}")
        self.acknowledged += response.accepted + response.duplicates
        self.newest = self.newest.union(token_from_proto(response.token))


class Generator:
    """Sends events, and follows their progress."""

    def __init__(self, task: dict[str, Any]) -> None:
        self._ingest = grpc.aio.insecure_channel(task["ingest"])
        self._last = grpc.aio.insecure_channel(task["last"])
        self._send = self._ingest.unary_unary(_INGEST)
        self._await = self._last.unary_unary(_AWAIT)
        self._as_source = (("authorization", f"Bearer {task['source_key']}"),)
        self._as_admin = (("authorization", f"Bearer {task['admin_key']}"),)
        #: The url with which each service reads the stream before it, by that stream.
        self._nats_urls: dict[str, str] = task["nats"]
        self._bus_key: str = task["bus_key"]
        self._requests: Iterator[bytes] = load.read(Path(task["file"]).open("rb"))  # noqa: SIM115 - read until this process ends
        self.sent = SentEvents()
        #: The newest profiles that were sent to enter the segment.
        self._probes: deque[bytes] = deque(maxlen=100)

    async def sustain(self, seconds: float, callers: int, window: int) -> dict[str, Any]:
        """Send for some seconds, with at most `window` events not folded by the last service."""
        sent = self.sent
        end = time.monotonic() + seconds
        first = len(sent.progress)

        async def call() -> None:
            while time.monotonic() < end:
                while sent.acknowledged - sent.reached > window:
                    sent.moved.clear()
                    await sent.moved.wait()
                await self._send_next()

        async with self._following():
            await asyncio.gather(*(call() for _ in range(callers)))
        return {
            "progress": sent.progress[first:],
            "acknowledged": sent.acknowledged,
            "reached": sent.reached,
        }

    async def load(self, events: int, callers: int) -> dict[str, Any]:
        """Send at least `events`, without waiting for the other services."""
        began = time.monotonic()

        async def call() -> None:
            while self.sent.acknowledged < events:
                await self._send_next()

        await asyncio.gather(*(call() for _ in range(callers)))
        return {"acknowledged": self.sent.acknowledged, "seconds": time.monotonic() - began}

    async def drain(self) -> dict[str, Any]:
        """Wait until the last service has folded all events."""
        began = time.monotonic()
        await self._reach(self.sent.newest, timeout=600)
        self.sent.reached = self.sent.acknowledged
        return {"seconds": time.monotonic() - began, "reached": self.sent.reached}

    async def pace(self, seconds: float, rate: float, probes: float, name: str) -> dict[str, Any]:
        """Send `rate` events per second, and `probes` profiles per second that enter the segment.

        Returns the seconds from each person's acknowledgement to the membership; and, by stream,
        to the first message that names the person, of the streams that are observed.
        """
        acknowledged: dict[bytes, float] = {}
        seen: dict[str, dict[bytes, float]] = {stream: {} for stream in self._nats_urls}
        async with AsyncExitStack() as stack:
            for stream, url in self._nats_urls.items():
                await stack.enter_async_context(self._receiving(stream, url, seen[stream]))
            await stack.enter_async_context(self._following())
            await asyncio.gather(
                self._flow(seconds, rate), self._probe(seconds, probes, name, acknowledged)
            )
            await self._reach(self.sent.newest, timeout=600)
            end = time.monotonic() + GIVE_UP_S
            while time.monotonic() < end:
                if acknowledged.keys() <= seen[LAST_STREAM].keys():
                    break
                await asyncio.sleep(0.1)
        entered = seen[LAST_STREAM]
        waited = [entered[p] - at for p, at in acknowledged.items() if p in entered]
        return {
            "waited": waited,
            "seen": [
                {stream: own[p] - at for stream, own in seen.items() if p in own}
                for p, at in acknowledged.items()
            ],
            "missing": len(acknowledged) - len(waited),
            "acknowledged": self.sent.acknowledged,
        }

    @asynccontextmanager
    async def _receiving(
        self, stream: str, url: str, seen: dict[bytes, float]
    ) -> AsyncIterator[None]:
        """Note when each profile enters the segment, as the last service receives it; of an earlier
        stream, when a message first names each person that was sent."""

        async def receive(subscription: PullSubscription) -> None:
            while True:
                received = await subscription.wait(1.0)
                if received is None:
                    continue
                now, payload = time.monotonic(), received.message.payload
                if stream == LAST_STREAM:
                    changes = MembershipsChanged.FromString(payload).changes
                    found = [change.profile_id for change in changes if change.entered]
                else:
                    found = [p for p in self._probes if p not in seen and p in payload]
                for profile in found:
                    seen.setdefault(profile, now)
                subscription.pop()
                await subscription.ack(received)

        authenticator = MessageAuthenticator(self._bus_key)
        reader = SERVICES[SERVICES.index(stream) + 1] if stream in SERVICES else "identity"
        async with AsyncExitStack() as stack:
            bus = await stack.enter_async_context(
                JetStreamBus(url, name=reader, authenticator=authenticator)
            )
            for shard in range(SHARDS):
                subscription = PullSubscription(bus, f"onefold.{stream}.{shard}", f"bench-{shard}")
                await stack.enter_async_context(subscription)
                await stack.enter_async_context(background(receive(subscription)))
            yield

    async def _flow(self, seconds: float, rate: float) -> None:
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(int(seconds * rate / load.BATCH)):
                pause = began + number * load.BATCH / rate - time.monotonic()
                if pause > 0:
                    await asyncio.sleep(pause)
                group.create_task(self._send_next())

    async def _probe(
        self, seconds: float, rate: float, name: str, acknowledged: dict[bytes, float]
    ) -> None:
        began = time.monotonic()
        for number in range(int(seconds * rate)):
            pause = began + number / rate - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            user_id = f"{name}-{number}"
            request = load.probe(user_id, time.time_ns() // 1000)
            profile = Identifier("user_id", user_id).id_in("default", INDEX_KEY)
            self._probes.append(profile)
            response = await self._send(request, metadata=self._as_source)
            acknowledged[profile] = time.monotonic()
            self.sent.add(IngestEventsResponse.FromString(response))

    async def _send_next(self) -> None:
        request = next(self._requests)
        response = await self._send(request, metadata=self._as_source)
        self.sent.add(IngestEventsResponse.FromString(response))

    async def _reach(self, token: Token, timeout: float) -> None:
        message = projection_pb.AwaitTokenRequest(token=token_to_proto(token))
        request = message.SerializeToString()
        end = time.monotonic() + timeout
        while True:
            try:
                await self._await(request, metadata=self._as_admin, timeout=timeout)
            except grpc.aio.AioRpcError:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.1)
            else:
                return

    @asynccontextmanager
    async def _following(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _follow(self) -> None:
        """Track how many acknowledged events the last service has folded."""
        sent = self.sent
        while True:
            sent.tokens.append((sent.acknowledged, sent.newest))
            while len(sent.tokens) > 1 and sent.tokens[0][0] <= sent.reached:
                sent.tokens.popleft()
            count, token = sent.tokens[0]
            if count > sent.reached:
                waiting = asyncio.create_task(self._reach(token, timeout=300))
                while not waiting.done():
                    await asyncio.wait({waiting}, timeout=0.1)
                    if sent.acknowledged > sent.tokens[-1][0]:
                        sent.tokens.append((sent.acknowledged, sent.newest))
                waiting.result()
                sent.reached = count
                sent.moved.set()
            else:
                await asyncio.sleep(0.05)
            sent.progress.append((time.monotonic(), sent.reached))


async def main() -> None:
    """Run the tasks on standard input."""
    # Standard output has the results only.
    logs.configure("generator", "error")
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    generator = Generator(json.loads(await reader.readline()))
    print(json.dumps({"pid": os.getpid()}), flush=True)
    while line := await reader.readline():
        task = json.loads(line)
        result = await getattr(generator, task.pop("do"))(**task)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
