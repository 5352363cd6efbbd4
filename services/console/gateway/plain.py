"""Serves every method as plain JSON, for curl and for programs without a client of Connect."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import grpc
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.console.gateway.compression import check_encoding, decompress
from services.console.gateway.errors import CallFailed, to_json, too_many
from services.console.gateway.forms import PLAIN, read_message, write_message
from services.console.gateway.methods import Method
from services.console.gateway.parts import GatewayParts
from services.console.gateway.requests import (
    call_metadata,
    content_type_of,
    message_of_query,
    read_body,
    timeout_of,
    until_disconnect,
)

_JSON, _LINES = "application/json", "application/x-ndjson"


class PlainGateway:
    """An application of ASGI at `/{service}/{name}`; streams are one JSON object a line."""

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        place = scope["path_params"]
        method = self._parts.methods.by_name(place["service"], place["name"])
        request = Request(scope, receive)
        call = _PlainCall(request, self._parts, send)
        try:
            await self._parts.callers.check(request)
            await call.respond(method)
        except CallFailed as failure:
            await call.fail(failure)
        except ClientDisconnect:
            return


class _PlainCall:
    """One call, and how far its response is."""

    def __init__(self, request: Request, parts: GatewayParts, send: Send) -> None:
        self._request = request
        self._calls = parts.calls
        self._limits = parts.limits
        self._send = send
        self._has_begun = False

    async def respond(self, method: Method | None) -> None:
        """Make the call and send its responses. Raises CallFailed, ClientDisconnect."""
        if method is None:
            raise _refused(HTTPStatus.NOT_FOUND, "the service has no such method")
        timeout_s = timeout_of(self._request)
        if not method.gives_stream:
            timeout_s = timeout_s or self._limits.timeout_s
        messages = await self._read(method)
        await until_disconnect(self._request.receive, self._copy(method, messages, timeout_s))

    async def _read(self, method: Method) -> list[bytes]:
        """Return the messages of the request; a stream of them is one object a line."""
        request, limits = self._request, self._limits
        if request.method == "GET" and method.is_read:
            has_message = "message" in request.query_params
            body = message_of_query(request) if has_message else b"{}"
        elif request.method != "POST":
            allowed = "GET or POST" if method.is_read else "POST"
            raise _refused(HTTPStatus.METHOD_NOT_ALLOWED, f"the method is called with {allowed}")
        elif content_type_of(request) not in (_JSON, _LINES):
            text = f"send the header `content-type: {_JSON}`"
            raise _refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text)
        else:
            encoding = request.headers.get("content-encoding", "")
            check_encoding(encoding)
            most = limits.stream_bytes if method.takes_stream else limits.message_bytes
            body = decompress(await read_body(request, most), encoding, most)
        if not method.takes_stream:
            return [await read_message(PLAIN, body, method.request)]
        if body.count(b"\n") >= limits.stream_messages:
            raise too_many(limits.stream_messages)
        messages = []
        for line in filter(None, body.splitlines()):
            messages.append(await read_message(PLAIN, line, method.request))
            # Other calls go on between two messages.
            await asyncio.sleep(0)
        return messages

    async def _copy(self, method: Method, messages: list[bytes], timeout_s: float | None) -> None:
        metadata = call_metadata(self._request, self._limits)
        if not (method.takes_stream or method.gives_stream):
            answer = await self._calls.unary(method, messages[0], metadata, timeout_s)
            body = await write_message(PLAIN, answer.message, method.response)
            await self._whole(HTTPStatus.OK, body)
            return
        async with self._calls.call(method, messages, metadata, timeout_s) as responses:
            async for message in responses.messages():
                body = await write_message(PLAIN, message, method.response)
                if not method.gives_stream:
                    await self._whole(HTTPStatus.OK, body)
                    return
                await self._part(body)
            await self._end()

    async def fail(self, failure: CallFailed) -> None:
        """Send a failure: as the response, or as the last line of one that has begun."""
        body = to_json(failure.plain_error())
        if self._has_begun:
            await self._part(body)
            await self._end()
            return
        await self._whole(failure.plain_status, body)

    async def _whole(self, status: int, body: bytes) -> None:
        response = Response(body, status, media_type=_JSON)
        await response(self._request.scope, self._request.receive, self._send)

    async def _begin(self) -> None:
        headers = [(b"content-type", _LINES.encode())]
        start = {"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers}
        self._has_begun = True
        await self._send(start)

    async def _part(self, body: bytes) -> None:
        if not self._has_begun:
            await self._begin()
        await self._send({"type": "http.response.body", "body": body + b"\n", "more_body": True})

    async def _end(self) -> None:
        if not self._has_begun:
            await self._begin()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _refused(status: HTTPStatus, message: str) -> CallFailed:
    """Return the failure of a request that makes no call."""
    return CallFailed(grpc.StatusCode.UNIMPLEMENTED, message, http_status=status)
