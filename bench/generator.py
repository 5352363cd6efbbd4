"""The load: a process of its own that sends serialised requests and measures what it sees.

Started by `bench.pipeline`, which writes one JSON object a line to its standard input (what to
do) and reads one a line from its standard output (what came of it).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import nats
import uvloop
from nats.aio.msg import Msg
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsResponse
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.segment.v1.segment_stream_pb2 import MembershipsChanged
from onefold.type.v1.token_pb2 import Token

from bench import load

_INGEST = "/onefold.ingest.v1.IngestService/IngestEvents"
_AWAIT = "/onefold.projection.v1.ProjectionService/AwaitToken"


@dataclass(slots=True)
class Sent:
    """What was acknowledged, and what of it the last service has taken in."""

    acknowledged: int = 0
    reached: int = 0
    #: Acknowledged so far, and the state of the log then.
    tokens: deque[tuple[int, list[int]]] = field(default_factory=deque)
    newest: list[int] = field(default_factory=list)
    #: (instant, events reached)
    looks: list[tuple[float, int]] = field(default_factory=list)
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, answer: IngestEventsResponse) -> None:
        if answer.rejections:
            raise RuntimeError(f"refused: {answer.rejections[0].message}")
        self.acknowledged += answer.accepted + answer.duplicates
        told = list(answer.token.offsets)
        known = self.newest + [0] * (len(told) - len(self.newest))
        told += [0] * (len(known) - len(told))
        self.newest = list(map(max, known, told))


class Generator:
    """Sends, waits, listens."""

    def __init__(self, task: dict[str, Any]) -> None:
        self._ingest = grpc.aio.insecure_channel(task["ingest"])
        self._last = grpc.aio.insecure_channel(task["last"])
        self._send = self._ingest.unary_unary(_INGEST)
        self._await = self._last.unary_unary(_AWAIT)
        self._as_source = (("authorization", f"Bearer {task['source_key']}"),)
        self._as_admin = (("authorization", f"Bearer {task['admin_key']}"),)
        self._nats_url: str = task["nats"]
        self._requests: Iterator[bytes] = load.read(Path(task["file"]).open("rb"))  # noqa: SIM115 - read to the end at once
        self.sent = Sent()

    async def sustain(self, seconds: float, callers: int, window: int) -> dict[str, Any]:
        """Sends for some seconds, with at most `window` events not yet taken in by all."""
        sent = self.sent
        until = time.monotonic() + seconds
        first = len(sent.looks)

        async def call() -> None:
            while time.monotonic() < until:
                while sent.acknowledged - sent.reached > window:
                    sent.moved.clear()
                    await sent.moved.wait()
                await self._send_next()

        async with self._following():
            await asyncio.gather(*(call() for _ in range(callers)))
        looks = sent.looks[first:]
        return {"looks": looks, "acknowledged": sent.acknowledged, "reached": sent.reached}

    async def load(self, events: int, callers: int) -> dict[str, Any]:
        """Sends so many events, whatever others make of them."""
        began = time.monotonic()

        async def call() -> None:
            while self.sent.acknowledged < events:
                await self._send_next()

        await asyncio.gather(*(call() for _ in range(callers)))
        return {"acknowledged": self.sent.acknowledged, "seconds": time.monotonic() - began}

    async def drain(self) -> dict[str, Any]:
        """Waits until all is taken in."""
        began = time.monotonic()
        await self._reach(self.sent.newest, timeout=600)
        self.sent.reached = self.sent.acknowledged
        return {"seconds": time.monotonic() - began, "reached": self.sent.reached}

    async def pace(self, seconds: float, rate: float, probes: float, name: str) -> dict[str, Any]:
        """Sends `rate` events a second, and `probes` people a second who enter the segment.

        Answers the seconds from each one's acknowledgement to its membership.
        """
        acknowledged: dict[bytes, float] = {}
        entered: dict[bytes, float] = {}

        async def hear(msg: Msg) -> None:
            now = time.monotonic()
            for change in MembershipsChanged.FromString(msg.data).changes:
                if change.entered:
                    entered.setdefault(change.profile_id, now)

        async with await nats.connect(self._nats_url) as bus, self._following():
            await bus.subscribe("onefold.segment.*", cb=hear)
            await asyncio.gather(
                self._flow(seconds, rate), self._probe(seconds, probes, name, acknowledged)
            )
            await self._reach(self.sent.newest, timeout=600)
            await asyncio.sleep(1)
        waited = [entered[p] - at for p, at in acknowledged.items() if p in entered]
        return {
            "waited": waited,
            "missing": len(acknowledged) - len(waited),
            "acknowledged": self.sent.acknowledged,
        }

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
        from services.kernel.identifiers import Identifier

        began = time.monotonic()
        for number in range(int(seconds * rate)):
            pause = began + number / rate - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            who = f"{name}-{number}"
            request = load.probe(who, time.time_ns() // 1000)
            answer = await self._send(request, metadata=self._as_source)
            profile = Identifier("user_id", who).id_in("default")
            acknowledged[profile] = time.monotonic()
            self.sent.note(IngestEventsResponse.FromString(answer))

    async def _send_next(self) -> None:
        request = next(self._requests)
        answer = await self._send(request, metadata=self._as_source)
        self.sent.note(IngestEventsResponse.FromString(answer))

    async def _reach(self, offsets: list[int], timeout: float) -> None:
        request = projection_pb.AwaitTokenRequest(token=Token(offsets=offsets)).SerializeToString()
        until = time.monotonic() + timeout
        while True:
            try:
                await self._await(request, metadata=self._as_admin, timeout=timeout)
            except grpc.aio.AioRpcError:
                if time.monotonic() > until:
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
        """Asks again and again how far the last service is with what was acknowledged."""
        sent = self.sent
        while True:
            sent.tokens.append((sent.acknowledged, list(sent.newest)))
            while len(sent.tokens) > 1 and sent.tokens[0][0] <= sent.reached:
                sent.tokens.popleft()
            count, offsets = sent.tokens[0]
            if count > sent.reached:
                waiting = asyncio.create_task(self._reach(offsets, timeout=300))
                while not waiting.done():
                    await asyncio.wait({waiting}, timeout=0.1)
                    if sent.acknowledged > sent.tokens[-1][0]:
                        sent.tokens.append((sent.acknowledged, list(sent.newest)))
                waiting.result()
                sent.reached = count
                sent.moved.set()
            else:
                await asyncio.sleep(0.05)
            sent.looks.append((time.monotonic(), sent.reached))


async def main() -> None:
    """Does what is asked, line by line."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    generator = Generator(json.loads(await reader.readline()))
    print(json.dumps({"pid": os.getpid()}), flush=True)
    while line := await reader.readline():
        task = json.loads(line)
        told = await getattr(generator, task.pop("do"))(**task)
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
