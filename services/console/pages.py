"""Serves the pages of the console: the built web application, and the beginning of sessions."""

from __future__ import annotations

import asyncio
import gzip
import json
import mimetypes
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import grpc
from google.protobuf.message import Message
from onefold.ingest.v1.admin_service_pb2 import (
    GetCallerRequest,
    GetCallerResponse,
    RotateKeyRequest,
    RotateKeyResponse,
)
from onefold.projection.v1.projection_service_pb2 import GetStatusRequest, GetStatusResponse
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from services import SERVICES
from services.chassis.codec.plain_json import write_plain
from services.console.gateway.errors import CallFailed, invalid, to_json
from services.console.gateway.methods import MethodTable
from services.console.gateway.requests import (
    GatewayLimits,
    accepts_gzip,
    content_type_of,
    key_metadata,
    read_body,
)
from services.console.gateway.service_calls import ServiceCalls
from services.console.sessions import Sessions, is_same_origin, refusal_of_other_site
from services.kernel.time import SECOND_US

#: The built application; `npm run build` in services/console/web makes it.
DIST = Path(__file__).resolve().parent / "dist"
_LOGIN_BYTES = 4096
_Answer = TypeVar("_Answer", GetCallerResponse, RotateKeyResponse, GetStatusResponse)
#: How long a new session waits until every service accepts its key, seconds.
_KNOWN_S, _POLL_S = 5.0, 0.1
#: Where the page names the nonce of its styles, which differs with each response.
_NONCE = "__NONCE__"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:;"
    " font-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none';"
    " frame-ancestors 'none'"
)
_SAFE_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
#: Files whose names change with their content.
_FOREVER = {"cache-control": "public, max-age=31536000, immutable"}
_NEVER = {"cache-control": "no-store"}


@dataclass(frozen=True)
class StaticFile:
    """A file of the application, which never changes."""

    content: bytes
    media_type: str

    @classmethod
    def read(cls, file: Path) -> StaticFile:
        """Return a file of the disk. Raises OSError."""
        media_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return cls(file.read_bytes(), media_type)

    @cached_property
    def compressed(self) -> bytes:
        return gzip.compress(self.content, 9, mtime=0)

    def response(self, as_gzip: bool) -> Response:
        """Return the response with the file, compressed where that makes it smaller."""
        headers = {**_SAFE_HEADERS, **_FOREVER, "vary": "accept-encoding"}
        content = self.content
        if as_gzip and len(self.compressed) < len(content):
            content, headers["content-encoding"] = self.compressed, "gzip"
        return Response(content, headers=headers, media_type=self.media_type)


class ConsolePages:
    """The web application in a folder, and its sessions."""

    def __init__(
        self,
        sessions: Sessions,
        methods: MethodTable,
        calls: ServiceCalls,
        limits: GatewayLimits,
        folder: Path = DIST,
    ) -> None:
        """The files of `folder` are read once. Raises OSError where it has no index.html."""
        self._sessions = sessions
        self._calls = calls
        self._limits = limits
        self._methods = methods
        self._index = (folder / "index.html").read_text("utf-8")
        files = [file for file in folder.rglob("*") if file.is_file()]
        self._files: Mapping[str, StaticFile] = {
            str(file.relative_to(folder)): StaticFile.read(file) for file in files
        }

    def routes(self) -> list[Route]:
        """Return the routes of the pages."""
        return [
            Route("/", _to_console),
            Route("/console", _to_console),
            Route("/console/session", self._begin, methods=["POST"]),
            Route("/console/session", self._end, methods=["DELETE"]),
            Route("/console/{path:path}", self._page),
        ]

    async def _page(self, request: Request) -> Response:
        """Return a file of the application; else its page, which shows what the path names."""
        path = request.path_params["path"]
        file = self._files.get(path)
        if file is not None and path != "index.html":
            return file.response(accepts_gzip(request.headers.get("accept-encoding", "")))
        if path.startswith("assets/"):
            return Response(status_code=HTTPStatus.NOT_FOUND, headers=_NEVER)
        nonce = secrets.token_urlsafe(16)
        headers = {"content-security-policy": _POLICY.format(nonce=nonce)}
        page = self._index.replace(_NONCE, nonce)
        return Response(
            page, headers={**_SAFE_HEADERS, **_NEVER, **headers}, media_type="text/html"
        )

    async def _begin(self, request: Request) -> Response:
        """Begin a session with the key in the body, where it is valid."""
        if not is_same_origin(request):
            return refusal_of_other_site()
        try:
            key, is_link = await self._key_in(request)
            caller = await self._call(request, key, GetCallerRequest(), GetCallerResponse)
            own_id = ""
            if is_link:
                key, own_id = await self._rotate(request, key, caller.key_id)
        except CallFailed as failure:
            return _json(failure.plain_status, failure.plain_error())
        response = _json(HTTPStatus.OK, write_plain(caller))
        self._sessions.begin(request, response, key, own_id)
        return response

    async def _end(self, request: Request) -> Response:
        """End a session; a key that was made for it expires, so no copy of the cookie works."""
        if not is_same_origin(request):
            return refusal_of_other_site()
        key, key_id = self._sessions.own_key_of(request)
        if key_id:
            with suppress(CallFailed):
                # A key cannot disable itself; one that is replaced at once ends as well.
                replaced = RotateKeyRequest(key_id=key_id, lifetime_us=SECOND_US)
                await self._call(request, key, replaced, RotateKeyResponse)
        response = _json(HTTPStatus.OK, {})
        self._sessions.end(request, response)
        return response

    async def _key_in(self, request: Request) -> tuple[str, bool]:
        """Return the key in the body of a request, and whether it is that of a login link.

        Raises CallFailed.
        """
        if content_type_of(request) != "application/json":
            raise invalid("send the header `content-type: application/json`")
        body = await read_body(request, _LOGIN_BYTES)
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise invalid("the request is not valid JSON") from None
        document = document if isinstance(document, dict) else {}
        key = document.get("key")
        if not isinstance(key, str) or not key.isascii() or not key.isprintable():
            raise invalid('send {"key": "…"} with a key of the workspace')
        return key.strip(), document.get("once") is True

    async def _rotate(self, request: Request, key: str, key_id: str) -> tuple[str, str]:
        """Replace the key of a login link by one of the session, so that the link works once.

        Return the key of the session and its id.

        Raises CallFailed.
        """
        rotate = RotateKeyRequest(key_id=key_id, lifetime_us=self._sessions.lifetime_s * SECOND_US)
        rotated = await self._call(request, key, rotate, RotateKeyResponse)
        with suppress(TimeoutError):
            async with asyncio.timeout(_KNOWN_S):
                for service in SERVICES[1:]:
                    await self._wait_until_known(request, rotated.key, service)
        return rotated.key, rotated.key_id

    async def _wait_until_known(self, request: Request, key: str, service: str) -> None:
        """Wait until a service accepts a key that was made just now."""
        while True:
            try:
                await self._call(request, key, GetStatusRequest(), GetStatusResponse, service)
                return
            except CallFailed as failure:
                if failure.code is not grpc.StatusCode.UNAUTHENTICATED:
                    return
            await asyncio.sleep(_POLL_S)

    async def _call(
        self,
        request: Request,
        key: str,
        message: Message,
        answer: type[_Answer],
        service: str = "ingest",
    ) -> _Answer:
        """Make a call with a key, for the client of a request. Raises CallFailed."""
        name = type(message).__name__.removesuffix("Request")
        method = self._methods.by_name(service, name)
        if method is None:
            raise invalid(f"{service} has no method {name}")
        metadata = key_metadata(key, request, self._limits)
        sent, timeout_s = message.SerializeToString(), self._limits.timeout_s
        response = await self._calls.unary(method, sent, metadata, timeout_s)
        return answer.FromString(response.message)


async def _to_console(_request: Request) -> Response:
    return RedirectResponse("/console/", HTTPStatus.TEMPORARY_REDIRECT)


def _json(status: int, body: object) -> Response:
    return Response(to_json(body), status, headers=_NEVER, media_type="application/json")
