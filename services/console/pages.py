"""Serves the pages of the console: the built web application, and the beginning of sessions."""

from __future__ import annotations

import gzip
import json
import mimetypes
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from services.chassis.rpc.guard import FORWARDED_KEY
from services.console.gateway.errors import CallFailed, invalid, to_json
from services.console.gateway.methods import MethodTable
from services.console.gateway.plain_json import write_plain
from services.console.gateway.requests import (
    GatewayLimits,
    accepts_gzip,
    address_of,
    content_type_of,
    read_body,
)
from services.console.gateway.upstream import Upstream
from services.console.sessions import Sessions, is_same_origin, refusal_of_other_site

#: The built application; `npm run build` in services/console/web makes it.
DIST = Path(__file__).resolve().parent / "dist"
_LOGIN_BYTES = 4096
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
        upstream: Upstream,
        limits: GatewayLimits,
        folder: Path = DIST,
    ) -> None:
        """The files of `folder` are read once. Raises OSError where it has no index.html."""
        self._sessions = sessions
        self._upstream = upstream
        self._limits = limits
        caller = methods.by_name("ingest", "GetCaller")
        if caller is None:
            raise ValueError("ingest has no method GetCaller")
        self._caller = caller
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
            key = await self._key_in(request)
            caller = await self._load_caller(request, key)
        except CallFailed as failure:
            return _json(failure.plain_status, failure.plain_error())
        response = _json(HTTPStatus.OK, caller)
        self._sessions.begin(request, response, key)
        return response

    async def _end(self, request: Request) -> Response:
        if not is_same_origin(request):
            return refusal_of_other_site()
        response = _json(HTTPStatus.OK, {})
        self._sessions.end(request, response)
        return response

    async def _key_in(self, request: Request) -> str:
        """Return the key in the body of a request. Raises CallFailed."""
        if content_type_of(request) != "application/json":
            raise invalid("send the header `content-type: application/json`")
        body = await read_body(request, _LOGIN_BYTES)
        try:
            document = json.loads(body)
        except ValueError:
            raise invalid("the request is not valid JSON") from None
        key = document.get("key") if isinstance(document, dict) else None
        if not isinstance(key, str) or not key.isascii() or not key.isprintable():
            raise invalid('send {"key": "…"} with a key of the workspace')
        return key.strip()

    async def _load_caller(self, request: Request, key: str) -> dict[str, object]:
        """Return the workspace and the role of a key. Raises CallFailed."""
        metadata = [("authorization", f"Bearer {key}")]
        if address := address_of(request, self._limits):
            metadata.append((FORWARDED_KEY, address))
        timeout_s = self._limits.timeout_s
        async with self._upstream.call(self._caller, [b""], metadata, timeout_s) as responses:
            [answer] = [each async for each in responses.messages()]
        return write_plain(self._caller.response.FromString(answer))


async def _to_console(_request: Request) -> Response:
    return RedirectResponse("/console/", HTTPStatus.TEMPORARY_REDIRECT)


def _json(status: int, body: object) -> Response:
    return Response(to_json(body), status, headers=_NEVER, media_type="application/json")
