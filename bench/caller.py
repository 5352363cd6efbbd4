"""Calls a gRPC service as fast as it responds, in a separate process.

`bench.ingest` starts it, writes one task a line (JSON) to its standard input, and reads one result
a line (JSON) from its standard output.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

import grpc
import msgspec
import uvloop
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest, IngestEventsResponse
from onefold.type.v1 import event_pb2
from onefold.type.v1.identifier_pb2 import Identifier

PEOPLE = 20_000
#: The connections to each server: the kernel shares them out to the processes of a service, which
#: is uneven where they are few: 8 are 4 and 4, or 7 and 1.
CHANNELS = 32
#: Else all channels to one address share a connection.
_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)
_PROPERTIES = {"course": "math-7", "price": 399, "paid": True, "teacher": "li"}


def event() -> event_pb2.Event:
    """Return a track event of a random person, about 480 bytes in all."""
    person = int.from_bytes(os.urandom(4), "big") % PEOPLE
    return event_pb2.Event(
        type=event_pb2.EVENT_TYPE_TRACK,
        name="viewed_course_page",
        message_id=os.urandom(16).hex(),
        identifiers=[Identifier(namespace="user_id", value=f"student-{person:05d}")],
        occurred_at_us=time.time_ns() // 1000,
        properties=msgspec.json.encode(_PROPERTIES),
        context=msgspec.json.encode({"library": {"name": "analytics"}, "page": "p" * 270}),
    )


def requests(count: int, size: int) -> list[bytes]:
    """Return serialised requests of `size` new events each."""
    return [
        IngestEventsRequest(events=[event() for _ in range(size)]).SerializeToString()
        for _ in range(count)
    ]


class Caller:
    """Calls one method repeatedly."""

    def __init__(self, task: dict[str, Any]) -> None:
        self._metadata = (("authorization", f"Bearer {task['key']}"),)
        self._addresses: dict[str, str] = task["addresses"]
        self._channels: dict[str, list[grpc.aio.Channel]] = {}

    async def rate(self, server: str, method: str, events: int, size: int, callers: int) -> float:
        """Return events per second with `callers` that each wait for their responses."""
        calls: list[Any] = [channel.unary_unary(method) for channel in self._channels_to(server)]
        waiting = requests(events // size, size)
        accepted = 0

        async def keep_calling(call: Any) -> None:
            nonlocal accepted
            while waiting:
                response = await call(waiting.pop(), metadata=self._metadata)
                accepted += IngestEventsResponse.FromString(response).accepted

        began = time.perf_counter()
        await asyncio.gather(*(keep_calling(calls[n % CHANNELS]) for n in range(callers)))
        seconds = time.perf_counter() - began
        if server == "ingest" and accepted != events // size * size:
            raise RuntimeError(f"{accepted} of {events} events were accepted")
        return events / seconds

    def _channels_to(self, server: str) -> list[grpc.aio.Channel]:
        if server not in self._channels:
            address = self._addresses[server]
            self._channels[server] = [
                grpc.aio.insecure_channel(address, options=_OPTIONS) for _ in range(CHANNELS)
            ]
        return self._channels[server]


async def main() -> None:
    """Run the tasks on standard input."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    caller = Caller(json.loads(await reader.readline()))
    print("{}", flush=True)
    while line := await reader.readline():
        print(json.dumps(await caller.rate(**json.loads(line))), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
