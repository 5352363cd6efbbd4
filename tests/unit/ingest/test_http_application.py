"""The HTTP endpoint is an application of ASGI by itself, without a framework or a server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.ingest.api.http import HttpEndpoint, HttpSettings
from services.ingest.api.http_paths import CALLS_BY_PATH, plain_path
from services.ingest.api.http_request import HttpRequest
from services.kernel.errors import InvalidField

UNUSED: Any = None
SETTINGS = HttpSettings(max_body_bytes=1_000, timeout_s=1.0, memory_bytes=1_000_000)


async def respond(method: str, path: str) -> tuple[int, dict[bytes, bytes], bytes]:
    """Call the endpoint as a server does, without a server or a framework."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    await HttpEndpoint(UNUSED, UNUSED, SETTINGS, UNUSED, UNUSED)(scope, UNUSED, send)
    start, body = sent
    return start["status"], dict(start["headers"]), body["body"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/batch", 405, "METHOD_NOT_ALLOWED"),
        ("PUT", "/v1/track", 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "/anything", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/v1/unknown", 404, "NOT_FOUND"),
        ("GET", "/", 404, "NOT_FOUND"),
    ],
)
async def test_other_requests_get_an_error_that_a_page_can_read(
    method: str, path: str, status: int, code: str
) -> None:
    found, headers, body = await respond(method, path)
    assert (found, json.loads(body)["code"]) == (status, code)
    assert headers[b"access-control-allow-origin"] == b"*"


async def test_preflight_and_metrics_of_clients_need_no_key() -> None:
    assert (await respond("OPTIONS", "/v1/batch"))[0] == 200
    assert (await respond("POST", "/v1/m"))[0] == 200


@pytest.mark.parametrize("path", ["/v1/batch", "//v1//batch", "/v1/batch/", "/v1//batch//"])
def test_paths_with_more_slashes_are_those_of_calls(path: str) -> None:
    assert plain_path(path) in CALLS_BY_PATH


@pytest.mark.parametrize(
    ("headers", "query", "key"),
    [
        ([(b"authorization", b"Bearer a")], b"", "a"),
        ([(b"x-write-key", b"a:secret")], b"", "a"),
        ([(b"authorization", b"Bearer a"), (b"x-write-key", b"a")], b"writeKey=a", "a"),
        ([], b"other=1&writeKey=a", "a"),
        ([], b"", None),
    ],
)
def test_key_is_in_the_headers_or_in_the_query_of_a_beacon(
    headers: list[tuple[bytes, bytes]], query: bytes, key: str | None
) -> None:
    scope = {"method": "POST", "path": "/beacon/v1/batch", "headers": headers}
    assert HttpRequest({**scope, "query_string": query}).key() == key


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Bearer a"), (b"authorization", b"Bearer a")],
        [(b"authorization", b"Bearer a"), (b"x-write-key", b"b")],
    ],
)
def test_request_with_two_keys_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    request = HttpRequest({"method": "POST", "path": "/v1/batch", "headers": headers})
    with pytest.raises(InvalidField):
        request.key()
