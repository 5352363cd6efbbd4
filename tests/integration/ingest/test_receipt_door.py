"""Tests the door for receipts and unsubscriptions: a GET changes nothing, a POST does."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
import pytest_asyncio
from integration.ingest.ingest_endpoints import IngestEndpoints, run_ingest
from onefold.activation.v1 import receipt_service_pb2 as pb
from onefold.activation.v1 import receipt_service_pb2_grpc as pb_grpc
from onefold.type.v1.identifier_pb2 import Identifier
from service_fixtures import OpenNatsServer

from services.chassis.rpc.errors import DETAILS_KEY, STATUS_BY_REASON, to_status
from services.devstack.postgres import PostgresServer
from services.kernel.errors import NotFound

TOKEN = "1.abcdef"


def consent(message_id: str) -> pb.ConsentStatement:
    return pb.ConsentStatement(
        workspace_id="default",
        identifier=Identifier(namespace="email", value="li@x.example"),
        purpose="marketing.email",
        granted=False,
        at_us=1_764_000_000_000_000,
        message_id=message_id,
    )


@dataclass
class FakeActivation(pb_grpc.ReceiptServiceServicer):
    """Knows one token, and records what it is sent."""

    taken: list[pb.TakeReceiptRequest] = field(default_factory=list)
    confirmed: list[bool] = field(default_factory=list)
    engaged: list[pb.TakeEngagementRequest] = field(default_factory=list)

    async def TakeReceipt(self, request: Any, context: Any) -> Any:
        await self._check(request.token, context)
        if request.only_token:
            return pb.TakeReceiptResponse()
        self.taken.append(request)
        body = b'{"code":0}'
        return pb.TakeReceiptResponse(
            body=body, content_type="application/json", consents=[consent("receipt-1")]
        )

    async def Unsubscribe(self, request: Any, context: Any) -> Any:
        await self._check(request.token, context)
        self.confirmed.append(request.confirmed)
        stated = consent("unsubscribed-1") if request.confirmed else None
        return pb.UnsubscribeResponse(channel="email", purpose="<b>", consent=stated)

    async def TakeEngagement(self, request: Any, context: Any) -> Any:
        await self._check(request.token.removesuffix(".picture"), context)
        self.engaged.append(request)
        return pb.TakeEngagementResponse(
            target=""
            if request.token.endswith(".picture")
            else "https://shop.example/a?b=%E8%AF%BE"
        )

    async def _check(self, token: str, context: Any) -> None:
        if token != TOKEN:
            error = NotFound("the link is not complete")
            details = ((DETAILS_KEY, to_status(error).SerializeToString()),)
            await context.abort(STATUS_BY_REASON[error.reason].code, error.message, details)


@dataclass
class Door:
    endpoints: IngestEndpoints
    activation: FakeActivation

    async def request(self, method: str, path: str, **options: Any) -> tuple[int, str, Any]:
        url = self.endpoints.url(path)
        async with self.endpoints.http.request(method, url, **options) as response:
            return response.status, await response.text(), response.headers


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def opened(
    postgres_server: PostgresServer,
    nats_server: OpenNatsServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Door]:
    server, activation = grpc.aio.server(), FakeActivation()
    pb_grpc.add_ReceiptServiceServicer_to_server(activation, server)
    url = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    data = tmp_path_factory.mktemp("door")
    async with run_ingest(postgres_server, nats_server, data, activation_url=url) as endpoints:
        yield Door(endpoints, activation)
    await server.stop(None)


@pytest.fixture
def door(opened: Door) -> Door:
    opened.activation.taken.clear()
    opened.activation.confirmed.clear()
    opened.activation.engaged.clear()
    return opened


async def test_receipt_reaches_activation_as_it_was_sent_and_its_consents_become_events(
    door: Door,
) -> None:
    headers = {"X-Twilio-Signature": "sig", "Authorization": "Bearer secret"}
    path = f"/v1/receipts/{TOKEN}?key=0a&x=1"
    for _ in range(2):
        status, body, _ = await door.request("POST", path, data=b"a=1&b=2", headers=headers)
        assert (status, json.loads(body)) == (200, {"code": 0})
    received = door.activation.taken[0]
    assert (received.query, received.body) == ("key=0a&x=1", b"a=1&b=2")
    assert received.headers["x-twilio-signature"] == "sig"
    assert "authorization" not in received.headers
    ((row, event),) = await door.endpoints.facts("receipt-1")
    assert (event.name, row["source_id"]) == ("consent_changed", "onefold")
    assert json.loads(event.properties) == {"purpose": "marketing.email", "granted": False}
    assert [(i.namespace, i.value) for i in event.identifiers] == [("email", "li@x.example")]


async def test_link_leads_to_the_target_of_its_token_and_sets_no_cookie(door: Door) -> None:
    headers = {"User-Agent": "Mozilla/5.0 (X11)", "Sec-Purpose": "prefetch", "Cookie": "a=1"}
    path = f"/c/{TOKEN}?to=https://evil.example"
    options: dict[str, Any] = {"headers": headers, "allow_redirects": False}
    for method in ("GET", "HEAD"):
        status, _, answer = await door.request(method, path, **options)
        assert (status, answer["Location"]) == (302, "https://shop.example/a?b=%E8%AF%BE")
        assert answer["Cache-Control"] == "no-store, private"
        assert "Set-Cookie" not in answer
    first, second = door.activation.engaged
    assert dict(first.headers) == {
        "user-agent": "Mozilla/5.0 (X11)",
        "sec-purpose": "prefetch",
        **dict.fromkeys(("purpose", "x-purpose", "x-moz"), ""),
    }
    # A request that asks for headers alone is none of a person.
    assert (first.only_token, second.only_token) == (False, True)


async def test_picture_is_one_and_sets_no_cookie(door: Door) -> None:
    async with door.endpoints.http.get(door.endpoints.url(f"/o/{TOKEN}.picture")) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "image/gif")
        assert (await response.read()).startswith(b"GIF89a")
        assert "Set-Cookie" not in response.headers
    assert len(door.activation.engaged) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_scanner_that_opens_the_link_changes_nothing(door: Door, method: str) -> None:
    """T15: a mail's link is fetched by machines before a person sees it."""
    status, body, headers = await door.request(method, f"/v1/unsubscribe/{TOKEN}")
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert door.activation.confirmed == [False]
    assert "<b>" not in body
    if method == "GET":
        assert '<form method="post">' in body


async def test_one_click_withdraws_consent_without_cookies_or_redirect(door: Door) -> None:
    """T15: RFC 8058."""
    form = {"List-Unsubscribe": "One-Click"}
    path = f"/v1/unsubscribe/{TOKEN}"
    status, body, headers = await door.request("POST", path, data=form, allow_redirects=False)
    assert status == 200
    assert "Set-Cookie" not in headers
    assert "<form" not in body
    assert door.activation.confirmed == [True]
    ((_, event),) = await door.endpoints.facts("unsubscribed-1")
    assert json.loads(event.properties) == {"purpose": "marketing.email", "granted": False}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/receipts/1.other", 404),
        ("GET", "/v1/unsubscribe/1.other", 404),
        ("POST", "/v1/unsubscribe/1.other", 404),
        ("GET", f"/v1/receipts/{TOKEN}", 405),
        ("DELETE", f"/v1/unsubscribe/{TOKEN}", 405),
        ("POST", "/v1/receipts", 404),
        ("GET", "/c/1.other", 404),
        ("GET", "/o/1.other", 404),
        ("POST", f"/c/{TOKEN}", 405),
    ],
)
async def test_other_links_and_methods_are_refused(
    door: Door, method: str, path: str, status: int
) -> None:
    assert (await door.request(method, path, data=b"x"))[0] == status
    assert not door.activation.taken
    assert not door.activation.confirmed
    assert not door.activation.engaged


async def test_body_that_is_too_large_is_refused(door: Door) -> None:
    body = io.BytesIO(b"x" * (1024 * 1024 + 1))
    status, _, _ = await door.request("POST", f"/v1/receipts/{TOKEN}", data=body)
    assert status == 413
    assert not door.activation.taken
