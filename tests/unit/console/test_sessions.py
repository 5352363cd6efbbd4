"""Tests the sessions of browsers: what a cookie holds, and which pages may use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from onefold.ingest.v1.admin_service_pb2 import GetCallerResponse
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_ADMIN
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from unit.console.asgi import Answer, call

from services.console.gateway import service_calls as calls
from services.console.gateway.errors import CallFailed
from services.console.gateway.methods import client_methods
from services.console.gateway.requests import GatewayLimits
from services.console.pages import ConsolePages
from services.console.sessions import SessionCalls, Sessions, SessionSealer

KEY = "ofk_admin_0123456789abcdef"
SESSIONS = Sessions(SessionSealer(b"k" * 32), 3600)
SAME = {"sec-fetch-site": "same-origin"}


class FakeUpstream:
    """Ingest, which knows one key."""

    def __init__(self) -> None:
        self.metadata: list[Any] = []

    async def unary(
        self, method: Any, request: bytes, metadata: Any, timeout_s: float | None
    ) -> calls.Response:
        self.metadata.append(dict(metadata))
        if self.metadata[-1]["authorization"] != f"Bearer {KEY}":
            raise CallFailed(grpc.StatusCode.UNAUTHENTICATED, "the key is unknown")
        caller = GetCallerResponse(workspace_id="default", role=ROLE_ADMIN)
        return calls.Response(caller.SerializeToString(), (), ())


async def _echo(request: Request) -> Response:
    """Return the authorization that a call arrives with."""
    return Response(request.headers.get("authorization", "none"))


@pytest.fixture
def app(tmp_path: Path) -> SessionCalls:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "app-1.js").write_text("1")
    (tmp_path / "index.html").write_text('<meta name="nonce" content="__NONCE__">')
    upstream: Any = FakeUpstream()
    pages = ConsolePages(SESSIONS, client_methods(), upstream, GatewayLimits(), tmp_path)
    return SessionCalls(
        Starlette(routes=[*pages.routes(), Route("/api/x", _echo, methods=["POST"])]), SESSIONS
    )


async def begin(app: SessionCalls, key: str = KEY, **headers: str) -> Answer:
    sent = {"content-type": "application/json", **SAME, **headers}
    return await call(app, "POST", "/console/session", sent, json.dumps({"key": key}).encode())


async def cookie_of(app: SessionCalls) -> str:
    return (await begin(app)).header("set-cookie").partition(";")[0]


async def test_session_begins_with_a_valid_key_and_its_calls_carry_the_key(
    app: SessionCalls,
) -> None:
    answer = await begin(app)
    assert json.loads(answer.body) == {
        "workspace_id": "default",
        "role": "ROLE_ADMIN",
        "key_id": "",
    }
    cookie = answer.header("set-cookie")
    assert {"HttpOnly", "Path=/", "SameSite=strict", "Max-Age=3600"} <= set(cookie.split("; "))
    assert KEY not in cookie
    called = await call(app, "POST", "/api/x", {"cookie": cookie.partition(";")[0], **SAME})
    assert called.body.decode() == f"Bearer {KEY}"


async def test_session_over_tls_has_a_secure_cookie_that_no_other_host_can_set(
    app: SessionCalls,
) -> None:
    sent = {"content-type": "application/json", **SAME}
    body = json.dumps({"key": KEY}).encode()
    answer = await call(app, "POST", "/console/session", sent, body, scheme="https")
    cookie = answer.header("set-cookie")
    assert cookie.startswith("__Host-onefold_session=")
    assert "Secure" in cookie.split("; ")


@pytest.mark.parametrize("key", ["ofk_admin_other", "", "x\r\ny", "ключ"])
async def test_session_does_not_begin_with_another_key(app: SessionCalls, key: str) -> None:
    answer = await begin(app, key)
    assert answer.status in (400, 401)
    assert not answer.header("set-cookie")


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "http://evil.test"},
        {"origin": "http://console.test:81"},
        {"origin": "null"},
        {},
    ],
)
async def test_page_of_another_site_can_neither_begin_a_session_nor_call_with_one(
    app: SessionCalls, headers: dict[str, str]
) -> None:
    cookie = await cookie_of(app)
    for method, path in (("POST", "/api/x"), ("POST", "/console/session")):
        answer = await call(
            app, method, path, {"cookie": cookie, "content-type": "application/json", **headers}
        )
        assert answer.status == 403
        assert not answer.header("set-cookie")


async def test_page_is_shown_to_a_visitor_who_comes_from_another_site(app: SessionCalls) -> None:
    headers = {"cookie": await cookie_of(app), "sec-fetch-site": "cross-site"}
    assert (await call(app, "GET", "/console/profiles", headers)).status == 200


async def test_browser_that_sends_origin_alone_may_call(app: SessionCalls) -> None:
    headers = {"cookie": await cookie_of(app), "origin": "http://console.test"}
    assert (await call(app, "POST", "/api/x", headers)).status == 200


async def test_call_with_a_key_of_its_own_uses_no_cookie(app: SessionCalls) -> None:
    headers = {"cookie": await cookie_of(app), "authorization": "Bearer own"}
    called = await call(app, "POST", "/api/x", {**headers, "sec-fetch-site": "cross-site"})
    assert called.body == b"Bearer own"


async def test_cookie_that_does_not_open_counts_as_none(app: SessionCalls) -> None:
    sealed = SessionSealer(b"o" * 32).seal(KEY)
    for cookie in (
        f"onefold_session={sealed}",
        "onefold_session=%%%",
        "x=1; y",
        "onefold_session=",
    ):
        called = await call(app, "POST", "/api/x", {"cookie": cookie, **SAME})
        assert called.body == b"none"


async def test_session_ends(app: SessionCalls) -> None:
    headers = {"cookie": await cookie_of(app), **SAME}
    answer = await call(app, "DELETE", "/console/session", headers)
    assert "Max-Age=0" in answer.header("set-cookie")


async def test_page_has_a_strict_policy_with_a_nonce_of_its_own(app: SessionCalls) -> None:
    first, second = [await call(app, "GET", "/console/profiles/x") for _ in range(2)]
    nonces = []
    for answer in (first, second):
        policy = answer.header("content-security-policy")
        nonce = answer.body.decode().split('content="')[1].split('"')[0]
        assert f"'nonce-{nonce}'" in policy
        assert "unsafe" not in policy
        assert "script-src 'self';" in policy
        assert answer.header("cache-control") == "no-store"
        nonces.append(nonce)
    assert nonces[0] != nonces[1]


async def test_file_of_the_application_is_cached_and_no_other_file_is_served(
    app: SessionCalls,
) -> None:
    found = await call(app, "GET", "/console/assets/app-1.js")
    assert (found.status, found.body) == (200, b"1")
    assert "immutable" in found.header("cache-control")
    for path in ("/console/assets/app-2.js", "/console/assets/../../settings.py"):
        missing = await call(app, "GET", path)
        assert missing.status == 404
