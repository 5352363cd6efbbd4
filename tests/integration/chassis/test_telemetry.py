"""The HTTP endpoint serves health and metrics."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from metrics_page import parse_metrics
from prometheus_client import REGISTRY, Counter
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from services.chassis.runtime.http_server import HttpServer
from services.chassis.runtime.telemetry import Check, Metrics, OperationsServer


@asynccontextmanager
async def serving(checks: dict[str, Check] | None = None) -> AsyncIterator[tuple[str, Metrics]]:
    metrics = Metrics("test")
    server = OperationsServer(metrics, host="127.0.0.1", port=0, checks=checks)
    async with server.serving():
        yield f"http://127.0.0.1:{server.port}", metrics


async def _get(url: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        is_json = response.content_type == "application/json"
        return response.status, await (response.json() if is_json else response.text())


async def _ok() -> None:
    """Passes."""


async def _fails() -> None:
    raise ConnectionRefusedError("postgresql://user:password@host")


async def test_healthz_while_a_check_fails_returns_200() -> None:
    async with serving({"postgres": _fails}) as (url, _):
        assert await _get(f"{url}/healthz") == (200, {"service": "test", "alive": True})


async def test_readyz_when_every_check_passes_returns_200() -> None:
    async with serving({"postgres": _ok, "nats": _ok}) as (url, _):
        status, body = await _get(f"{url}/readyz")
        assert (status, body["checks"]) == (200, {"postgres": "ok", "nats": "ok"})


async def test_readyz_with_a_failing_check_names_it_without_details() -> None:
    async with serving({"postgres": _fails, "nats": _ok}) as (url, _):
        status, body = await _get(f"{url}/readyz")
        assert status == 503
        assert body["checks"] == {"postgres": "ConnectionRefusedError", "nats": "ok"}
        assert "password" not in str(body)


async def test_metrics_have_the_service_in_their_names() -> None:
    async with serving() as (url, metrics):
        metrics.facts_folded.labels("3").inc(512)
        metrics.rejections.labels("NO_IDENTIFIER").inc()
        metrics.checkpoint_offset.labels("0").set(7)
        metrics.event_to_membership_seconds.observe(0.3)
        status, text = await _get(f"{url}/metrics")
        assert status == 200
        for line in (
            'onefold_test_facts_folded_total{shard="3"} 512.0',
            'onefold_test_rejections_total{reason="NO_IDENTIFIER"} 1.0',
            'onefold_test_checkpoint_offset{shard="0"} 7.0',
            'onefold_test_event_to_membership_seconds_bucket{le="0.5"} 1.0',
        ):
            assert line in text
        assert "process_resident_memory_bytes" in text


async def test_page_of_metrics_has_every_family_and_sample_once() -> None:
    """A counter of the process beside those of the service; without instants of creation."""
    made = Counter("onefold_test_of_process", "Made in a module.", ["kind"])
    try:
        async with serving() as (url, metrics):
            metrics.facts_folded.labels("3").inc()
            metrics.facts_folded.labels("4").inc()
            metrics.fold_duration_seconds.observe(0.2)
            made.labels("a").inc()
            _, text = await _get(f"{url}/metrics")
    finally:
        REGISTRY.unregister(made)
    found = parse_metrics(text)
    own = {name for name in found if name.startswith("onefold_test_")}
    assert own == {
        "onefold_test_facts_folded",
        "onefold_test_fold_duration_seconds",
        "onefold_test_http_cut_offs",
        "onefold_test_of_process",
    }


@pytest.mark.parametrize(
    "text",
    [
        "# HELP a_total A.\n# TYPE a_total counter\na_total 1.0\n" * 2,
        "# HELP a A.\n# TYPE a gauge\na 1.0\na 2.0\n",
        '# HELP a A.\n# TYPE a gauge\na{x="1"} 1.0\na{x="1"} 1.0\n',
        "a 1.0\n",
        "# TYPE a gauge\na 1.0\n",
    ],
)
def test_page_of_metrics_with_a_repeat_is_found(text: str) -> None:
    with pytest.raises(ValueError, match=r"twice|no type"):
        parse_metrics(text)


async def test_public_endpoint_serves_its_routes_and_no_operations() -> None:
    async def track(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("accepted")

    server = HttpServer([Route("/v1/track", track)], host="127.0.0.1", port=0)
    async with server.serving():
        url = f"http://127.0.0.1:{server.port}"
        assert await _get(f"{url}/v1/track") == (200, "accepted")
        for path in ("/healthz", "/readyz", "/metrics"):
            status, _ = await _get(url + path)
            assert status == 404


async def test_error_in_the_body_is_raised_unchanged() -> None:
    with pytest.raises(KeyError):
        async with serving() as (_, _metrics):
            raise KeyError("body")


async def test_port_in_use_raises_os_error() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server = OperationsServer(Metrics("test"), host="127.0.0.1", port=port)
        with pytest.raises(OSError, match="in use"):
            async with server.serving():
                pass
