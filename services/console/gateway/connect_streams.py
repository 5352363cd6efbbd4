"""Serves the methods of the Connect protocol that take or return a stream of messages.

The whole stream of requests is read before the first response: HTTP/1.1 carries it no other way.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any

import grpc
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.console.gateway.compression import GZIP, check_encoding, compress, decompress
from services.console.gateway.errors import (
    CallFailed,
    Headers,
    invalid,
    to_json,
    too_large,
    too_many,
)
from services.console.gateway.forms import (
    PROTO_JSON,
    PROTOBUF,
    MessageForm,
    read_message,
    write_message,
)
from services.console.gateway.headers import headers_of, trailers_by_name
from services.console.gateway.methods import Method
from services.console.gateway.parts import GatewayParts
from services.console.gateway.requests import (
    accepts_gzip,
    call_metadata,
    content_type_of,
    read_body,
    timeout_of,
    until_disconnect,
)

STREAM_FORMS: Mapping[str, MessageForm] = {
    "application/connect+proto": PROTOBUF,
    "application/connect+json": PROTO_JSON,
}
_ENCODING, _ACCEPTED = "connect-content-encoding", "connect-accept-encoding"
#: What stands before each message of a stream: its flags and its length.
_ENVELOPE = struct.Struct(">BI")
_IS_COMPRESSED, _IS_END = 1, 2
#: A caller learns after so many seconds that a stream has begun, also where nothing comes yet.
_HEADERS_WAIT_S = 1.0


class StreamCall(Response):
    """A response that makes the call while it is sent. A failure is its last message."""

    def __init__(
        self, request: Request, method: Method, form: MessageForm, parts: GatewayParts
    ) -> None:
        self._request = request
        self._method = method
        self._form = form
        self._parts = parts
        self._limits = parts.limits
        self._compresses = accepts_gzip(request.headers.get(_ACCEPTED, ""))
        self._has_begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Make the call and send its responses. Raises ClientDisconnect."""
        request, limits = self._request, self._limits
        try:
            encoding = request.headers.get(_ENCODING, "")
            check_encoding(encoding)
            timeout_s = timeout_of(request)
            await self._parts.callers.check(request)
            body = await read_body(request, limits.stream_bytes)
            messages = [message async for message in self._messages(body, encoding)]
            if not messages and not self._method.takes_stream:
                raise _one_message()
            await until_disconnect(request.receive, self._copy(send, messages, timeout_s))
        except CallFailed as failure:
            if not self._has_begun:
                await self._begin(send, failure.headers)
            await self._end(send, failure.trailers, failure)

    async def _copy(self, send: Send, messages: list[bytes], timeout_s: float | None) -> None:
        metadata = call_metadata(self._request, self._limits)
        async with self._parts.calls.call(self._method, messages, metadata, timeout_s) as responses:
            await self._begin(send, await responses.headers(_HEADERS_WAIT_S))
            async for message in responses.messages():
                part = await write_message(self._form, message, self._method.response)
                await self._send(send, part)
            await self._end(send, responses.trailers)

    async def _messages(self, body: bytes, encoding: str) -> AsyncIterator[bytes]:
        """Yield the messages of a stream of requests. Raises CallFailed.

        All of them together, before and after they are decompressed, are within the limits.
        """
        at, limit, count, left = 0, self._limits.message_bytes, 0, self._limits.stream_bytes
        while at < len(body):
            count += 1
            if count > 1 and not self._method.takes_stream:
                raise _one_message()
            if count > self._limits.stream_messages:
                raise too_many(self._limits.stream_messages)
            if len(body) < at + _ENVELOPE.size:
                raise invalid("the stream of requests ends before the length of a message")
            flags, length = _ENVELOPE.unpack_from(body, at)
            begin, at = at + _ENVELOPE.size, at + _ENVELOPE.size + length
            if length > limit:
                raise too_large(limit)
            if len(body) < at:
                raise invalid("the stream of requests ends within a message")
            if flags & _IS_COMPRESSED and encoding != GZIP:
                text = f"a message is compressed: name the encoding in the header {_ENCODING}"
                raise CallFailed(grpc.StatusCode.INTERNAL, text)
            message = decompress(body[begin:at], encoding if flags & _IS_COMPRESSED else "", limit)
            left -= len(message)
            if left < 0:
                raise too_large(self._limits.stream_bytes)
            yield await read_message(self._form, message, self._method.request)
            # Other calls go on between two messages.
            await asyncio.sleep(0)

    async def _begin(self, send: Send, headers: Headers) -> None:
        lines = [("content-type", content_type_of(self._request)), *headers_of(headers)]
        if self._compresses:
            lines.append(("connect-content-encoding", GZIP))
        raw = [(name.encode(), value.encode("latin-1")) for name, value in lines]
        start = {"type": "http.response.start", "status": HTTPStatus.OK, "headers": raw}
        self._has_begun = True
        await send(start)

    async def _send(self, send: Send, message: bytes) -> None:
        flags = 0
        if self._compresses and len(message) >= self._limits.compressed_from:
            flags, message = _IS_COMPRESSED, compress(message)
        await _send_part(send, flags, message, more=True)

    async def _end(self, send: Send, trailers: Headers, failure: CallFailed | None = None) -> None:
        last: dict[str, Any] = {}
        if failure is not None:
            last["error"] = failure.connect_error()
        if metadata := trailers_by_name(trailers):
            last["metadata"] = metadata
        await _send_part(send, _IS_END, to_json(last), more=False)


def _one_message() -> CallFailed:
    return CallFailed(grpc.StatusCode.UNIMPLEMENTED, "the method takes exactly one message")


async def _send_part(send: Send, flags: int, message: bytes, *, more: bool) -> None:
    body = _ENVELOPE.pack(flags, len(message)) + message
    await send({"type": "http.response.body", "body": body, "more_body": more})
