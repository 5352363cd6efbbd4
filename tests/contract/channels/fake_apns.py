"""The fake of Apple's push service: HTTP/2 alone, with tokens that it checks."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import UUID

from aiohttp import web
from contract.channels.fakes import Answer, Fake, is_recent
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded


@dataclass
class FakeApns(Fake):
    ANSWERS: ClassVar[dict[str, Answer]] = {
        "accepted": (200, None),
        "later": (429, {"reason": "TooManyRequests"}),
        "refused": (413, {"reason": "PayloadTooLarge"}),
        "address_dead": (410, {"reason": "Unregistered", "timestamp": 1}),
        "credentials": (403, {"reason": "InvalidProviderToken"}),
        "expired": (403, {"reason": "ExpiredProviderToken"}),
    }
    #: The connections, and the tokens that came over them.
    connections: int = 0
    seen: set[str] = field(default_factory=set)

    def problem(self, request: web.Request, body: bytes) -> str:
        token = request.headers["authorization"].removeprefix("bearer ")
        self.seen.add(token)
        head, claims, signature = token.split(".")
        raw = _decoded(signature)
        r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
        try:
            self.secrets["public_key"].verify(
                encode_dss_signature(r, s), f"{head}.{claims}".encode(), ECDSA(hashes.SHA256())
            )
        except InvalidSignature:
            return "the signature is wrong"
        stated = json.loads(_decoded(claims))
        if json.loads(_decoded(head)) != {"alg": "ES256", "typ": "JWT", "kid": "KEY1"}:
            return "the head is wrong"
        if stated["iss"] != "TEAM1" or not is_recent(stated["iat"], 3_600):
            return "the token is wrong or old"
        if request.headers["apns-topic"] != "example.x.app" or len(body) > 4_096:
            return "the topic or the size is wrong"
        return ""

    def message(self, request: web.Request, body: bytes) -> tuple[str, str]:
        head, sent = request.headers, json.loads(body)
        assert set(sent["aps"]["alert"]) == {"title", "body"}
        assert head["apns-push-type"] == "alert"
        assert UUID(head["apns-id"]).hex == head["apns-collapse-id"]
        return head["apns-collapse-id"], request.path.removeprefix("/3/device/")


class _Request:
    """A request over HTTP/2 with what a fake reads of one of aiohttp."""

    def __init__(self, headers: dict[str, str], body: bytes, transport: Any) -> None:
        self.headers = headers
        self.path = headers[":path"]
        self.transport = transport
        self._body = body

    async def read(self) -> bytes:
        return self._body


@asynccontextmanager
async def serving_http2(fake: FakeApns) -> AsyncIterator[FakeApns]:
    """Run the fake on a free port."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fake.connections += 1
        await _serve(fake, reader, writer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        fake.released.set()
        server.close()


async def _serve(
    fake: FakeApns, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    http = H2Connection(config=H2Configuration(client_side=False, header_encoding="utf-8"))
    http.initiate_connection()
    heads: dict[int, dict[str, str]] = {}
    bodies: dict[int, bytes] = {}
    async with asyncio.TaskGroup() as group:

        async def answer(stream: int) -> None:
            request: Any = _Request(heads[stream], bodies.get(stream, b""), writer.transport)
            response: Any = await fake.respond(request)
            if writer.is_closing():
                return
            body = b"" if response.body in (None, b"null") else bytes(response.body)
            http.send_headers(stream, [(":status", str(response.status))], end_stream=not body)
            if body:
                http.send_data(stream, body, end_stream=True)
            writer.write(http.data_to_send())

        writer.write(http.data_to_send())
        while data := await _received(reader):
            for event in http.receive_data(data):
                match event:
                    case RequestReceived(stream_id=int(stream), headers=list(headers)):
                        heads[stream] = dict(headers)
                    case DataReceived(stream_id=int(stream), data=bytes(part)):
                        bodies[stream] = bodies.get(stream, b"") + part
                    case StreamEnded(stream_id=int(stream)):
                        group.create_task(answer(stream))
            writer.write(http.data_to_send())
    writer.close()


async def _received(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65_536)
    except OSError:
        return b""


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
