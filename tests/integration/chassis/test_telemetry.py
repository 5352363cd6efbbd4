"""The HTTP door for those who watch."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route

from services.chassis.runtime.telemetry import Check, Metrics, OperationsServer


@asynccontextmanager
async def serving(
    checks: dict[str, Check] | None = None, routes: Sequence[BaseRoute] = ()
) -> AsyncIterator[tuple[str, Metrics]]:
    metrics = Metrics("test")
    server = OperationsServer(metrics, host="127.0.0.1", port=0, checks=checks, routes=routes)
    async with server.serving():
        yield f"http://127.0.0.1:{server.port}", metrics


async def _get(url: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        is_json = answer.content_type == "application/json"
        return answer.status, await (answer.json() if is_json else answer.text())


async def _ok() -> None:
    """Passes."""


async def _fails() -> None:
    raise ConnectionRefusedError("postgresql://user:password@host")


async def test_health_is_told_while_the_process_lives() -> None:
    async with serving({"postgres": _fails}) as (url, _):
        assert await _get(f"{url}/healthz") == (200, {"service": "test", "alive": True})


async def test_ready_when_every_check_passes() -> None:
    async with serving({"postgres": _ok, "nats": _ok}) as (url, _):
        status, body = await _get(f"{url}/readyz")
        assert (status, body["checks"]) == (200, {"postgres": "ok", "nats": "ok"})


async def test_not_ready_names_what_fails_and_no_more() -> None:
    async with serving({"postgres": _fails, "nats": _ok}) as (url, _):
        status, body = await _get(f"{url}/readyz")
        assert status == 503
        assert body["checks"] == {"postgres": "ConnectionRefusedError", "nats": "ok"}
        assert "password" not in str(body)


async def test_metrics_are_named_after_the_service() -> None:
    async with serving() as (url, metrics):
        metrics.facts_folded.labels("3").inc(512)
        metrics.refused.labels("NO_IDENTIFIER").inc()
        metrics.log_offset.labels("0").set(7)
        metrics.event_to_membership_seconds.observe(0.3)
        status, text = await _get(f"{url}/metrics")
        assert status == 200
        for line in (
            'onefold_test_facts_folded_total{shard="3"} 512.0',
            'onefold_test_refused_total{reason="NO_IDENTIFIER"} 1.0',
            'onefold_test_log_offset{shard="0"} 7.0',
            'onefold_test_event_to_membership_seconds_bucket{le="0.5"} 1.0',
        ):
            assert line in text
        assert "process_resident_memory_bytes" in text


async def test_other_routes_can_be_mounted() -> None:
    async def track(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("taken")

    async with serving(routes=[Route("/v1/track", track)]) as (url, _):
        assert await _get(f"{url}/v1/track") == (200, "taken")


async def test_the_error_of_the_body_comes_out_as_itself() -> None:
    with pytest.raises(KeyError):
        async with serving() as (_, _metrics):
            raise KeyError("body")


async def test_a_taken_port_is_an_os_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = OperationsServer(Metrics("test"), host="127.0.0.1", port=port)
        with pytest.raises(OSError, match="in use"):
            async with server.serving():
                pass
