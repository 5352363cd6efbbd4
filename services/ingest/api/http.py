"""Serves events over HTTP, compatible with the clients of the Segment specification.

What those clients require, as found in use: 200 and a JSON object for every batch of which
something was accepted, and no other 2xx; 400 only where nothing was, because it makes clients drop
the batch; `code` and `message` in errors; Retry-After in whole seconds. Content-Type is ignored.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.keys import key_from_authorization
from services.chassis.rpc.errors import STATUS_BY_REASON
from services.ingest.api.http_body import BadEncoding, decompress, read_body, too_large
from services.ingest.api.producers import authenticate_producer, failure_of
from services.ingest.codec.events import SegmentCall
from services.ingest.codec.results import error_to_json, refusal_to_json, result_to_json
from services.ingest.commands.intake import MAX_EVENTS, EventIntake
from services.ingest.domain.events import EventType, Producer, Refusal
from services.ingest.domain.request_body import RequestBody, batch_calls, parse_body
from services.kernel.errors import RetryableError, TooLarge
from services.kernel.ids import to_hex
from services.kernel.restrictions import Peer

#: The paths below /v1/ and the type of their events; None where each event states its own.
CALLS: Mapping[str, EventType | None] = {
    **dict.fromkeys(("batch", "import", "b")),
    **{type_.name.lower(): type_ for type_ in EventType},
    **{type_.name.lower()[0]: type_ for type_ in EventType},
}
_CORS = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Retry-After"}
_PREFLIGHT = {
    **_CORS,
    "Access-Control-Allow-Methods": "POST, OPTIONS",
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Type, Content-Encoding, X-Write-Key, X-Retry-Count"
    ),
    "Access-Control-Max-Age": "86400",
}


class _BodyTimeout(Exception):
    """A body did not arrive in time."""


class HttpEndpoint:
    """Ingests events over HTTP."""

    def __init__(
        self,
        intake: EventIntake,
        authenticator: Authenticator,
        *,
        max_body_bytes: int,
        timeout_s: float,
    ) -> None:
        self._intake = intake
        self._authenticator = authenticator
        self._limit = max_body_bytes
        self._timeout_s = timeout_s

    def routes(self) -> list[Route]:
        """Return the routes, to serve beside those of operations."""
        return [
            Route(f"/v1/{{call}}{end}", self.handle, methods=["POST", "OPTIONS"])
            for end in ("", "/")
        ]

    async def handle(self, request: Request) -> Response:
        """Handle any request below /v1/."""
        call = request.path_params["call"]
        if call not in CALLS:
            return _error(404, "NOT_FOUND", f"the calls are {', '.join(CALLS)}")
        if request.method == "OPTIONS":
            return Response(headers=_PREFLIGHT)
        try:
            raw = await self._read(request)
            async with asyncio.timeout(self._timeout_s):
                return await self._ingest(request, raw, CALLS[call])
        except ClientDisconnect:
            return Response(status_code=400)  # the client does not receive it
        except _BodyTimeout:
            return _error(408, "TOO_SLOW", "the body did not arrive in time: send it again")
        except Exception as error:
            return _failed(error)

    async def _read(self, request: Request) -> bytes:
        if int(request.headers.get("content-length") or 0) > self._limit:
            raise too_large(self._limit)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await read_body(request.stream(), self._limit)
        except TimeoutError:
            raise _BodyTimeout from None

    async def _ingest(self, request: Request, raw: bytes, type_: EventType | None) -> Response:
        key = _key_of(request)
        peer = _peer_of(request)
        producer = await self._authenticate(key, peer) if key else None
        raw, body = self._parse(raw, request.headers.get("content-encoding", ""))
        if producer is None:
            write_key = body.write_key if isinstance(body, RequestBody) else None
            key = write_key if isinstance(write_key, str) else None
            producer = await self._authenticate(key, peer)
        raw = _without_key(raw, key)
        if isinstance(body, Refusal):
            return await self._reject(producer, raw, body)
        calls = [raw] if type_ else batch_calls(body)
        if isinstance(calls, Refusal):
            return await self._reject(producer, raw, calls)
        if len(calls) > MAX_EVENTS:
            message = f"a batch has at most {MAX_EVENTS} events: split it"
            raise TooLarge(message, limit=str(MAX_EVENTS))
        result = await self._intake.ingest(producer, [SegmentCall(c, type_, body) for c in calls])
        if result.accepted or result.duplicates:
            return _json(200, result_to_json(result))
        reason = refusal_to_json(result.rejections[0].refusal)
        return _json(400, {**result_to_json(result), **reason})

    async def _authenticate(self, key: str | None, peer: Peer) -> Producer:
        return await authenticate_producer(self._authenticator, key, "http", peer)

    def _parse(self, raw: bytes, encoding: str) -> tuple[bytes, RequestBody | Refusal]:
        """Return the decompressed body, and its calls."""
        try:
            raw = decompress(raw, encoding, self._limit)
        except BadEncoding as error:
            return raw, Refusal(error.reason, "", error.message)
        return raw, parse_body(raw)

    async def _reject(self, producer: Producer, raw: bytes, refusal: Refusal) -> Response:
        quarantine_id = await self._intake.quarantine_body(producer, raw, refusal)
        return _json(400, {**refusal_to_json(refusal), "quarantineId": to_hex(quarantine_id)})


def _key_of(request: Request) -> str | None:
    headers = request.headers
    # Some clients send `key:secret`; a key of Onefold has no colon.
    write_key = headers.get("x-write-key", "").partition(":")[0]
    return key_from_authorization(headers.get("authorization")) or write_key or None


def _peer_of(request: Request) -> Peer:
    address = request.client.host if request.client else ""
    return Peer(address, request.headers.get("origin", ""))


def _without_key(raw: bytes, key: str | None) -> bytes:
    """Return the body without the sender's key, so that the quarantine stores no secret."""
    return raw.replace(key.encode(), b"***") if key else raw


def _failed(error: Exception) -> Response:
    failure = failure_of(error, "http")
    headers = {}
    if isinstance(failure, RetryableError):
        headers["Retry-After"] = str(max(1, math.ceil(failure.retry_after)))
    return _json(STATUS_BY_REASON[failure.reason].http, error_to_json(failure), headers)


def _error(status: int, code: str, message: str) -> Response:
    return _json(status, {"success": False, "code": code, "message": message})


def _json(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(body),
        status,
        {**_CORS, **(headers or {})},
        media_type="application/json",
    )
