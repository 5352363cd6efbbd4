"""What strangers send at once: each flood is a coroutine of FLOODS, and all run in a process.

`python -m tests.security.floods TARGET` reads the lines `start` and `stop` from its standard input,
and repeats each when it is done. Floods have a fixed pace: they take their strength from what a
request costs the service and not from the processor of the machine that the test shares.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import count
from typing import Self

import grpc

from tests.security.rpc_strangers import open_call

LOOPBACK = "127.0.0.1"
INGEST_EVENTS = "/onefold.ingest.v1.IngestService/IngestEvents"


@dataclass(frozen=True)
class Target:
    """The service that strangers know, and the key that every browser has."""

    http_port: int
    grpc_port: int
    public_key: str

    def encode(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Self:
        return cls(**json.loads(text))


#: Runs until it is cancelled.
Flood = Callable[[Target], Awaitable[None]]


async def pause(seconds: float) -> None:
    """Let some time pass: it is the pace of a flood, and no wait for a condition."""
    with suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, seconds)):
            await asyncio.Event().wait()


async def pace(action: Callable[[int], Awaitable[None]], *, per_s: float, at_once: int) -> None:
    """Begin an action `per_s` times a second, while fewer than `at_once` are unfinished."""
    running: set[asyncio.Task[None]] = set()
    loop = asyncio.get_running_loop()
    next_at = loop.time()
    try:
        for number in count():
            if len(running) < at_once:
                running.add(task := asyncio.create_task(_attempt(action, number)))
                task.add_done_callback(running.discard)
            next_at = max(next_at + 1 / per_s, loop.time() - 0.1)
            await pause(next_at - loop.time())
    finally:
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _attempt(action: Callable[[int], Awaitable[None]], number: int) -> None:
    # Being refused or cut off is what a stranger expects; uvloop raises RuntimeError for it.
    with suppress(OSError, RuntimeError, asyncio.IncompleteReadError, grpc.aio.AioRpcError):
        await action(number)


async def send(target: Target, data: bytes, *, hold: bool = False) -> None:
    """Open a connection, send some bytes, and wait for the response; `hold`: for the end."""
    reader, writer = await asyncio.open_connection(LOOPBACK, target.http_port)
    try:
        writer.write(data)
        await writer.drain()
        await reader.read(-1 if hold else 1)
    finally:
        writer.transport.abort()


def post(body: bytes, key: str) -> bytes:
    """Return a request that sends a body with a key."""
    head = f"POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def long_header(target: Target) -> None:
    """Send headers of up to 50 MB, as fast as the service reads them."""
    piece = b"a" * (1 << 20)

    async def one(_: int) -> None:
        reader, writer = await asyncio.open_connection(LOOPBACK, target.http_port)
        try:
            writer.write(b"POST /v1/batch HTTP/1.1\r\nX: ")
            for _ in range(50):
                writer.write(piece)
                await writer.drain()
            await reader.read(1)
        finally:
            writer.transport.abort()

    await pace(one, per_s=4, at_once=4)


async def many_headers(target: Target) -> None:
    """Send requests of ten thousand headers."""

    async def one(_: int) -> None:
        await send(target, b"POST /v1/batch HTTP/1.1\r\n" + b"X: a\r\n" * 10_000)

    await pace(one, per_s=10, at_once=10)


async def half_sent_heads(target: Target) -> None:
    """Hold as many connections open as there may be, each with half a head."""

    async def one(_: int) -> None:
        await send(target, b"POST /v1/batch HTTP/1.1\r\nHost: x\r\n", hold=True)

    await pace(one, per_s=100, at_once=1_000)


async def slow_bodies(target: Target) -> None:
    """Send bodies that never end, with the public key and without a key."""

    async def one(number: int) -> None:
        key = target.public_key if number % 2 else ""
        head = post(b"x" * 900_000, key)
        await send(target, head[: 200 + number % 60_000], hold=True)

    await pace(one, per_s=30, at_once=300)


async def unknown_keys(target: Target) -> None:
    """Send events with keys that do not exist."""

    async def one(_: int) -> None:
        await send(target, post(b"{}", uuid.uuid4().hex))

    await pace(one, per_s=100, at_once=200)


async def junk(target: Target) -> None:
    """Fill the quarantine with events without an identifier, by the public key."""

    async def one(_: int) -> None:
        call = {"type": "track", "event": "e", "properties": {"text": "x" * 1_000}}
        batch = [{**call, "messageId": uuid.uuid4().hex} for _ in range(50)]
        await send(target, post(json.dumps({"batch": batch}).encode(), target.public_key))

    await pace(one, per_s=5, at_once=20)


async def hostile_texts(target: Target) -> None:
    """Send telephone numbers that are slow to match, by the public key."""
    phone = "(" + " " * 500 + "1" * 9 + "z"

    async def one(_: int) -> None:
        ids = [{"type": "phone", "id": phone + str(n)} for n in range(60)]
        call = {"type": "track", "event": "e", "context": {"externalIds": ids}}
        batch = [{**call, "messageId": uuid.uuid4().hex}]
        await send(target, post(json.dumps({"batch": batch}).encode(), target.public_key))

    await pace(one, per_s=3, at_once=5)


async def calls_without_a_message(target: Target) -> None:
    """Begin gRPC calls without a key and without a message."""
    url = f"{LOOPBACK}:{target.grpc_port}"
    options = (("grpc.use_local_subchannel_pool", 1),)

    async def one(_: int) -> None:
        async with grpc.aio.insecure_channel(url, options=options) as channel:
            calls = [open_call(channel, INGEST_EVENTS) for _ in range(20)]
            await asyncio.gather(*(call.code() for call in calls))

    await pace(one, per_s=3, at_once=20)


#: All floods; another one is added here.
FLOODS: list[Flood] = [
    long_header,
    many_headers,
    half_sent_heads,
    slow_bodies,
    unknown_keys,
    junk,
    hostile_texts,
    calls_without_a_message,
]


async def main(target: Target, floods: list[Flood]) -> None:
    """Run floods between the lines `start` and `stop`, until the input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    running: list[asyncio.Task[None]] = []
    while line := (await reader.readline()).decode().strip():
        if line == "start":
            running = [loop.create_task(_run(flood, target)) for flood in floods]
        else:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


async def _run(flood: Flood, target: Target) -> None:
    await flood(target)


if __name__ == "__main__":
    # Strangers have machines of their own: their work must not take the time of the service.
    os.nice(15)
    asyncio.run(main(Target.decode(sys.argv[1]), FLOODS))
