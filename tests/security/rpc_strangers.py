"""Calls as strangers make them: without a message, half a message, several headers of one name."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any

import grpc
from google.rpc.status_pb2 import Status

from services.chassis.rpc.errors import DETAILS_KEY, from_status

Metadata = Sequence[tuple[str, str]]
HEADERS, DATA, SETTINGS, RST_STREAM = 0x1, 0x0, 0x4, 0x3
END_STREAM, END_HEADERS = 0x1, 0x4
#: Each channel opens its own connection.
_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


def bearer(key: str | None) -> Metadata:
    """Return the metadata of a call with a key."""
    return [] if key is None else [("authorization", f"Bearer {key}")]


def open_call(channel: grpc.aio.Channel, method: str, metadata: Metadata = ()) -> Any:
    """Begin a call and send no message."""
    return channel.stream_stream(method)(metadata=metadata)


async def outcome(call: Any) -> tuple[grpc.StatusCode, str]:
    """Wait until a call ends; return its code and the reason of its error."""
    code = await call.code()
    for key, value in await call.trailing_metadata() or ():
        if key == DETAILS_KEY:
            error = from_status(Status.FromString(value))
            return code, error.reason if error else ""
    return code, ""


@asynccontextmanager
async def connections(url: str, number: int) -> AsyncIterator[list[grpc.aio.Channel]]:
    """Open channels, each with a connection of its own."""
    channels = [grpc.aio.insecure_channel(url, options=_OWN_CONNECTION) for _ in range(number)]
    try:
        yield channels
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))


@contextmanager
def silent(port: int, number: int, address: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    """Open connections from an address to this machine, and send nothing."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket(family)) for _ in range(number)]
        for each in sockets:
            each.setblocking(False)
            each.bind((address, 0))
            each.connect_ex(("::1" if ":" in address else "127.0.0.1", port))
        yield sockets


def closed(sockets: Sequence[socket.socket]) -> int:
    """Return how many connections the other end has closed."""
    return sum(map(_is_closed, sockets))


def _is_closed(each: socket.socket) -> bool:
    try:
        # The first bytes of a server are its settings.
        return not each.recv(4096) or _is_closed(each)
    except BlockingIOError:
        return False
    except OSError:
        return True


class RawCall:
    """A call on a connection of its own, sent byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def begin(cls, port: int, method: str, headers: Metadata) -> RawCall:
        """Send the headers of a call."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        call = cls(reader, writer)
        writer.write(PREFACE + headers_of_calls(method, headers))
        await writer.drain()
        return call

    async def send(self, data: bytes, *, last: bool = False) -> None:
        """Send a part of the message."""
        self._writer.write(_frame(DATA, END_STREAM if last else 0, data))
        await self._writer.drain()

    async def ended(self) -> None:
        """Wait until the server ends the call."""
        while True:
            head = await self._reader.readexactly(9)
            kind, flags = head[3], head[4]
            await self._reader.readexactly(int.from_bytes(head[:3], "big"))
            if kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM):
                return

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


def headers_of_calls(
    method: str, headers: Metadata = (), *, first: int = 0, number: int = 1
) -> bytes:
    """Return the headers of some calls of a connection, which had `first` before."""
    every = [
        *((":method", "POST"), (":scheme", "http"), (":path", method), (":authority", "x")),
        *(("content-type", "application/grpc"), ("te", "trailers"), *headers),
    ]
    block = b"".join(map(_literal, every))
    streams = range(2 * first + 1, 2 * (first + number), 2)
    return b"".join(_frame(HEADERS, END_HEADERS, block, stream=each) for each in streams)


def message_head(size: int, *, compressed: bool = False) -> bytes:
    """Return what precedes a message of `size` bytes."""
    return struct.pack(">BI", compressed, size)


def _frame(kind: int, flags: int, payload: bytes, *, stream: int = 1) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(header: tuple[str, str]) -> bytes:
    """Encode a header without the table of HPACK: a literal with a literal name."""
    return b"\x00" + b"".join(bytes([len(text)]) + text.encode() for text in header)


#: What a client sends first: a magic text and its settings.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(SETTINGS, 0, b"", stream=0)
