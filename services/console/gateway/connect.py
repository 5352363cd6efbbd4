"""Serves the Connect protocol (https://connectrpc.com/docs/protocol) for all methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.console.gateway.compression import GZIP, check_encoding, compress, decompress
from services.console.gateway.connect_streams import STREAM_FORMS, StreamCall
from services.console.gateway.errors import CallFailed, Headers, invalid, to_json
from services.console.gateway.forms import (
    PROTO_JSON,
    PROTOBUF,
    MessageForm,
    read_message,
    write_message,
)
from services.console.gateway.headers import headers_of
from services.console.gateway.methods import Method
from services.console.gateway.parts import GatewayParts
from services.console.gateway.requests import (
    accepts_gzip,
    call_metadata,
    content_type_of,
    message_of_query,
    read_body,
    timeout_of,
    until_disconnect,
)

_JSON = "application/json"
_FORMS: Mapping[str, MessageForm] = {"application/proto": PROTOBUF, _JSON: PROTO_JSON}
_VERSION = "connect-protocol-version"


class ConnectGateway:
    """An application of ASGI at `/{service}/{rpc:path}`; `rpc` is `package.Service/Method`."""

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts
        self._limits = parts.limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        request, place = Request(scope, receive), scope["path_params"]
        method = self._parts.methods.by_path(place["service"], f"/{place['rpc']}")
        try:
            if method is None:
                response = Response(status_code=HTTPStatus.NOT_FOUND)
            elif method.takes_stream or method.gives_stream:
                response = self._stream_response(request, method)
            else:
                response = await self._unary(request, method)
            await response(scope, receive, send)
        except ClientDisconnect:
            return

    def _stream_response(self, request: Request, method: Method) -> Response:
        if request.method != "POST":
            return _not_allowed("POST")
        form = STREAM_FORMS.get(content_type_of(request))
        if form is None:
            return _unsupported(STREAM_FORMS)
        return StreamCall(request, method, form, self._parts)

    async def _unary(self, request: Request, method: Method) -> Response:
        is_get = request.method == "GET"
        if not is_get and request.method != "POST":
            return _not_allowed("GET, POST" if method.is_read else "POST")
        if is_get and not method.is_read:
            return _not_allowed("POST")
        if is_get:
            content_type = f"application/{request.query_params.get('encoding', '')}"
            encoding = request.query_params.get("compression", "")
        else:
            content_type = content_type_of(request)
            encoding = request.headers.get("content-encoding", "")
        form = _FORMS.get(content_type)
        if form is None:
            return _unsupported(_FORMS)
        try:
            check_version(request)
            check_encoding(encoding)
            timeout_s = timeout_of(request) or self._limits.timeout_s
            await self._parts.callers.check(request)
            limit = self._limits.message_bytes
            body = message_of_query(request) if is_get else await read_body(request, limit)
            sent = decompress(body, encoding, limit)
            message = await read_message(form, sent, method.request)
            metadata = call_metadata(request, self._limits)
            call = self._parts.calls.unary(method, message, metadata, timeout_s)
            answer, headers, trailers = await until_disconnect(request.receive, call)
        except CallFailed as failure:
            body, status = to_json(failure.connect_error()), failure.connect_status
            return self._response(request, body, _JSON, failure.headers, failure.trailers, status)
        body = await write_message(form, answer, method.response)
        return self._response(request, body, content_type, headers, trailers)

    def _response(
        self,
        request: Request,
        body: bytes,
        content_type: str,
        headers: Headers,
        trailers: Headers,
        status: int = HTTPStatus.OK,
    ) -> Response:
        lines = [("content-type", content_type), ("vary", "accept-encoding")]
        lines += headers_of(headers)
        lines += headers_of(trailers, prefix="trailer-")
        accepted = request.headers.get("accept-encoding", "")
        if accepts_gzip(accepted) and len(body) >= self._limits.compressed_from:
            lines.append(("content-encoding", GZIP))
            body = compress(body)
        return _response(status, lines, body)


def check_version(request: Request) -> None:
    """Check the version of the protocol that a request names. Raises CallFailed."""
    named = request.headers.get(_VERSION, "1")
    if named != "1":
        raise invalid(f"the header {_VERSION} must be 1")
    if request.query_params.get("connect", "v1") != "v1":
        raise invalid("the parameter `connect` must be v1")


def _response(status: int, headers: Iterable[tuple[str, str]], body: bytes = b"") -> Response:
    response = Response(body, status)
    response.raw_headers += [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return response


def _not_allowed(methods: str) -> Response:
    return _response(HTTPStatus.METHOD_NOT_ALLOWED, [("allow", methods)])


def _unsupported(forms: Mapping[str, MessageForm]) -> Response:
    return _response(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, [("accept-post", ", ".join(forms))])
