"""Keeps the key of a browser in a sealed cookie, and passes it on with its calls.

A session is a key of the workspace: it has the rights of its role, `./onefold keys list` shows it
with its last use, and `./onefold keys disable` ends it. The cookie is sealed, so that a script, an
extension or a stolen copy of the browser's files does not have the key.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.console.gateway.errors import to_json

_NONCE_BYTES = 12
_PURPOSE = b"onefold console session"
#: A browser sends its cookies to all ports of a host, so the name is our own.
_COOKIE, _SECURE_COOKIE = "onefold_session", "__Host-onefold_session"
_AUTHORIZATION = b"authorization"
_PRIVATE = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
#: Where calls are served. A page is the same for every visitor, so it needs no session.
_CALLS = ("/api/", "/connect/")


class SessionSealer:
    """Seals keys for cookies, and opens them."""

    def __init__(self, key: bytes) -> None:
        """`key`: 32 bytes."""
        self._cipher = AESGCM(key)

    def seal(self, key: str) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, key.encode(), _PURPOSE)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def open(self, text: str) -> str:
        """Return the key in a cookie; empty where it does not open, as after a restart."""
        try:
            sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            return self._cipher.decrypt(nonce, ciphertext, _PURPOSE).decode()
        except (InvalidTag, ValueError, binascii.Error):
            return ""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Makes and reads the cookies of sessions."""

    sealer: SessionSealer
    #: How long a browser keeps a cookie, seconds.
    lifetime_s: int

    def key_of(self, request: Request) -> str:
        """Return the key of the session of a request; empty = it has none."""
        return self._opened(request)[0]

    def own_key_of(self, request: Request) -> tuple[str, str]:
        """Return the key that was made for this session alone, and its id; else empty texts."""
        key, key_id = self._opened(request)
        return (key, key_id) if key_id else ("", "")

    def _opened(self, request: Request) -> tuple[str, str]:
        found = _cookies(request.headers.getlist("cookie")).get(cookie_name(request))
        key, _, key_id = (self.sealer.open(found) if found else "").partition(" ")
        return key, key_id

    def begin(self, request: Request, response: Response, key: str, key_id: str = "") -> None:
        """Let a response begin the session of a key; with `key_id` it ends with the session."""
        self._set(request, response, self.sealer.seal(f"{key} {key_id}"), self.lifetime_s)

    def end(self, request: Request, response: Response) -> None:
        """Let a response end the session of the browser."""
        self._set(request, response, "", 0)

    def _set(self, request: Request, response: Response, value: str, age_s: int) -> None:
        response.set_cookie(
            cookie_name(request),
            value,
            max_age=age_s,
            path="/",
            secure=is_secure(request),
            httponly=True,
            samesite="strict",
        )


class SessionCalls:
    """Passes the key of a session on with each call of its browser; an application of ASGI.

    A call that carries a key of its own uses no cookie. A call with a cookie must come from a page
    of the console, or another site could make calls with the session of its visitor.
    """

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        request = Request(scope)
        is_call = scope["path"].startswith(_CALLS)
        uses_cookie = is_call and "authorization" not in request.headers
        if uses_cookie and (key := self._sessions.key_of(request)):
            if not is_same_origin(request):
                await refusal_of_other_site()(scope, receive, send)
                return
            headers = [*scope["headers"], (_AUTHORIZATION, f"Bearer {key}".encode())]
            scope = {**scope, "headers": headers}
        await self._app(scope, receive, _private(send) if is_call else send)


def _private(send: Send) -> Send:
    """Return what sends a response that no cache keeps and that is shown as nothing else."""

    async def send_private(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *_PRIVATE]}
        await send(message)

    return send_private


def refusal_of_other_site() -> Response:
    """Return the response to a request that a page of another site has made."""
    message = "a call with a session must come from a page of the console: send a key instead"
    body = {"error": {"code": "permission_denied", "message": message}}
    return Response(to_json(body), HTTPStatus.FORBIDDEN, media_type="application/json")


def is_same_origin(request: Request) -> bool:
    """Return whether a page of the console has made a request, as the browser states it.

    Every browser of today sends Sec-Fetch-Site, where the page is served over TLS or from this
    machine, and Origin with every request that is no plain GET.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    scheme = "https" if is_secure(request) else "http"
    return request.headers.get("origin") == f"{scheme}://{request.headers.get('host', '')}"


def is_secure(request: Request) -> bool:
    """Return whether the browser has connected over TLS."""
    return request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"


def cookie_name(request: Request) -> str:
    """Return the name of the cookie: over TLS one that no other host can set."""
    return _SECURE_COOKIE if is_secure(request) else _COOKIE


def _cookies(headers: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for header in headers:
        try:
            found |= {name: morsel.value for name, morsel in SimpleCookie(header).items()}
        except CookieError:
            continue
    return found
