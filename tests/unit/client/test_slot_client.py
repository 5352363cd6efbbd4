"""Tests that a page has a variant within its time, whatever becomes of the platform."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from services.client.slots import SlotClient

KEY = "planted-key"
FALLBACK = {"text": "for all"}


class FakeApi(ThreadingHTTPServer):
    """DecisionService over HTTP; `mode` says how it answers."""

    mode = "well"
    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        #: The method and the message of each call.
        self.calls: list[tuple[str, Any]] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/api"


class _Handler(BaseHTTPRequestHandler):
    server: FakeApi

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method = self.path.rpartition("/")[2]
        assert self.headers["Authorization"] == f"Bearer {KEY}"
        self.server.calls.append((method, message))
        if self.server.mode == "slow":
            self.server.released.wait(60)
        own = {"slot_id": "home", "version": 1, "variant_id": "vip", "content": {"text": "vip"}}
        body: Any = {"decisions": [own]}
        if method == "ListSlots":
            body = {"slots": [{"slot": {"slot_id": "home", "fallback": FALLBACK}}]}
        encoded = b"<html>" if self.server.mode == "garbled" else json.dumps(body).encode()
        self.send_response(503 if self.server.mode == "failing" else 200)
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, *_args: object) -> None:
        """Write nothing."""


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.released.set()
        server.shutdown()


def content(client: SlotClient) -> Any:
    return client.decide("user_id", "u", "home")["home"]["content"]


def test_client_shows_the_variant_that_was_decided(api: FakeApi, tmp_path: Path) -> None:
    client = SlotClient(api.url, KEY, tmp_path / "fallback.json")
    token = {"offsets": [3]}
    found = client.decide("user_id", "u", "home", at_least=token)
    # A machine under load may need longer than the time-out: then it is the fallback.
    assert found["home"].get("variant_id", "vip") == "vip"
    identifier = {"namespace": "user_id", "value": "u"}
    message = {"identifier": identifier, "slot_ids": ["home"], "at_least": token}
    assert api.calls in ([], [("Decide", message)])


@pytest.mark.parametrize("mode", ["slow", "failing", "garbled"])
def test_client_shows_the_fallback_while_the_service_is_slow_or_fails(
    api: FakeApi, tmp_path: Path, mode: str
) -> None:
    client = SlotClient(api.url, KEY, tmp_path / "fallback.json")
    client.refresh()
    api.mode = mode
    found = client.decide("user_id", "u", "home", "other")
    assert found["home"]["content"] == FALLBACK
    assert found["other"]["content"] == {}


def test_client_shows_the_saved_fallback_after_a_restart_while_the_service_is_killed(
    api: FakeApi, tmp_path: Path
) -> None:
    SlotClient(api.url, KEY, tmp_path / "fallback.json").refresh()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{unused.getsockname()[1]}/api"
        assert content(SlotClient(away, KEY, tmp_path / "fallback.json")) == FALLBACK


def test_client_with_more_calls_in_flight_than_threads_shows_the_fallback(
    api: FakeApi, tmp_path: Path
) -> None:
    client = SlotClient(api.url, KEY, tmp_path / "fallback.json", threads=1)
    client.refresh()
    api.mode = "slow"
    assert [content(client) for _ in range(3)] == [FALLBACK] * 3


@pytest.mark.parametrize("changed", ["slots", "signature", "whole"])
def test_file_that_others_have_changed_is_not_shown(
    api: FakeApi, tmp_path: Path, changed: str
) -> None:
    file = tmp_path / "fallback.json"
    SlotClient(api.url, KEY, file).refresh()
    saved = json.loads(file.read_text("utf-8"))
    forged = {"slots": json.dumps({"home": {"text": "forged"}}), "signature": "0" * 64}
    saved = [] if changed == "whole" else saved | {changed: forged[changed]}
    file.write_text(json.dumps(saved), "utf-8")
    api.mode = "failing"
    assert content(SlotClient(api.url, KEY, file)) == {}


class _LateCalls:
    """Stands for a pool whose calls are late; it records what is waited for, seconds."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def submit(self, _call: object, _method: str, _message: object, timeout_s: float) -> Any:
        self.waits.append(timeout_s)
        return self

    def result(self, timeout_s: float) -> Any:
        self.waits.append(timeout_s)
        raise TimeoutError

    def cancel(self) -> None:
        """Cancel nothing."""


def test_page_waits_eighty_milliseconds_for_a_call_and_for_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, late = (
        SlotClient("http://127.0.0.1:1/api", KEY, tmp_path / "fallback.json"),
        _LateCalls(),
    )
    monkeypatch.setattr(client, "_pool", late)
    assert content(client) == {}
    assert late.waits == [0.08, 0.08]
