"""Tests that the demo ends soon where one of its steps fails or takes too long."""

from __future__ import annotations

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from services.cli.demo import clients
from services.cli.demo.dataset import Endpoint, School
from services.cli.demo.scenario import bounded, run_together
from services.kernel.errors import OnefoldError, ServiceUnavailable

EVENTS = [
    event for event in School(1_790_000_000_000_000, visitors=50).events
    if event.endpoint is Endpoint.SDK
]  # fmt: skip


class Unavailable(BaseHTTPRequestHandler):
    """Answers every request with 503, after which the SDK tries again."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(503)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


async def test_step_that_takes_too_long_raises_an_error_with_its_name() -> None:
    with pytest.raises(ServiceUnavailable, match=r"sending took longer than 0 s: .*logs"):
        async with bounded("sending", 0.01):
            await asyncio.Event().wait()


async def test_work_that_fails_ends_those_beside_it_with_its_own_error() -> None:
    ended = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise OnefoldError("gRPC: rejected")

    with pytest.raises(OnefoldError, match="gRPC: rejected"):
        await run_together(wait(), fail())
    assert ended.is_set()


def test_sdk_that_tries_again_ends_when_the_demo_does() -> None:
    server = HTTPServer(("127.0.0.1", 0), Unavailable)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    ended, sent = threading.Event(), []
    url = f"http://127.0.0.1:{server.server_port}"
    sending = threading.Thread(
        target=clients.send_by_sdk, args=(EVENTS, url, "key", sent.append, ended), daemon=True
    )
    sending.start()
    sending.join(0.5)
    assert sending.is_alive(), "it retries"
    ended.set()
    sending.join(30)
    assert not sending.is_alive()
    assert not sent
    server.shutdown()
    server.server_close()
    serving.join()


def test_sdk_that_cannot_deliver_raises_an_error_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "SDK_RETRIES_S", 0)
    url, ended = "http://127.0.0.1:1", threading.Event()
    with pytest.raises(OnefoldError, match="the SDK could not deliver"):
        clients.send_by_sdk(EVENTS, url, "key", lambda _: None, ended)
