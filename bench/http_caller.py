"""Posts events over HTTP as fast as they are acknowledged, in a separate process.

`bench.ingest` starts it, writes one task a line (JSON) to its standard input, and reads one result
a line (JSON) from its standard output. It speaks HTTP on bare sockets: a client library would take
more of the processors than the server.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import uvloop

PEOPLE = 20_000
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


def call() -> dict[str, Any]:
    """Return a track call of a random person, about 450 bytes in all."""
    person = int.from_bytes(os.urandom(4), "big") % PEOPLE
    return {
        "type": "track",
        "event": "viewed_course_page",
        "messageId": os.urandom(16).hex(),
        "userId": f"student-{person:05d}",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "properties": {"course": "math-7", "price": 399, "paid": True, "teacher": "li"},
        "context": {"library": {"name": "analytics"}, "page": {"path": "p" * 230}},
    }


def posts(count: int, size: int, key: str) -> list[bytes]:
    """Return whole requests of `size` new events each; one event is sent by itself."""
    path = "batch" if size > 1 else "track"
    head = f"POST /v1/{path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n"
    made = []
    for _ in range(count):
        calls = [call() for _ in range(size)]
        body = msgspec.json.encode({"batch": calls} if size > 1 else calls[0])
        made.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return made


class _Connection(asyncio.Protocol):
    """Sends one request after the other, each after the response to the one before."""

    def __init__(self, waiting: list[bytes], ended: asyncio.Future[int]) -> None:
        self._waiting = waiting
        self._ended = ended
        self._received = b""
        self._accepted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._send()

    def _send(self) -> None:
        if self._waiting:
            self._transport.write(self._waiting.pop())
        else:
            self._transport.close()
            self._ended.set_result(self._accepted)

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data
        head, end, body = received.partition(_HEAD_END)
        at = head.find(_LENGTH) + len(_LENGTH)
        if not end or len(body) < int(head[at:].partition(b"\r\n")[0]):
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(received.decode())
        self._accepted += json.loads(body).get("accepted", 0)
        self._received = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_exception(exc or RuntimeError("the server has closed a connection"))


async def rate(port: int, key: str, events: int, size: int, connections: int) -> dict[str, float]:
    """Return the events per second, and how many were accepted."""
    waiting = posts(events // size, size, key)
    loop = asyncio.get_running_loop()
    ended: list[asyncio.Future[int]] = [loop.create_future() for _ in range(connections)]
    began = time.perf_counter()
    for each in ended:
        await loop.create_connection(partial(_Connection, waiting, each), "127.0.0.1", port)
    accepted = sum(await asyncio.gather(*ended))
    return {"rate": events / (time.perf_counter() - began), "accepted": accepted}


async def main() -> None:
    """Run the tasks on standard input."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(json.dumps(await rate(**json.loads(line))), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
