"""Calls applications of ASGI without a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """Return the value of a header; empty where there is none."""
        return next((value for key, value in self.headers if key == name), "")


async def call(
    app: ASGIApp,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    scheme: str = "http",
) -> Answer:
    """Send one request to `http://console.test`, and return the response."""
    sent = {"host": "console.test", **(headers or {})}
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": ("192.0.2.7", 5000),
        "server": ("console.test", 80),
    }
    events: list[Any] = []
    given = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return given.pop() if given else {"type": "http.disconnect"}

    async def send(event: Any) -> None:
        events.append(event)

    await app(scope, receive, send)
    start = events[0]
    found = [(name.decode(), value.decode()) for name, value in start["headers"]]
    return Answer(start["status"], found, b"".join(each.get("body", b"") for each in events[1:]))
