"""Serves events over HTTP, compatible with the clients of the Segment specification.

What those clients require, as found in use: 200 and a JSON object for every batch of which
something was accepted, and no other 2xx; 400 only where nothing was, because it makes clients drop
the batch; `code` and `message` in errors; Retry-After in whole seconds. Content-Type is ignored.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import msgspec
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.chassis.access.authenticator import Authenticator
from services.chassis.codec.compression import BadEncoding
from services.chassis.rpc.errors import STATUS_BY_REASON
from services.chassis.rpc.sealing import TokenSealer
from services.chassis.runtime.addresses import Network
from services.chassis.runtime.http_errors import (
    CORS,
    JsonResponse,
    error_response,
    not_served_response,
)
from services.chassis.runtime.http_protocol import trust_connection
from services.ingest.api.http_body import BodyReader, BodyTimeout
from services.ingest.api.http_paths import (
    CALLS_BY_PATH,
    CLIENT_METRICS,
    SOURCE_CONFIG,
    preflight_response,
    source_config_response,
)
from services.ingest.api.http_receipts import ReceiptDoor, is_of_door
from services.ingest.api.http_request import HttpRequest
from services.ingest.api.producers import authenticate_producer, failure_of
from services.ingest.codec.events import SegmentCalls
from services.ingest.codec.results import (
    error_to_json,
    refusal_to_json,
    rejection_to_json,
    result_to_json,
)
from services.ingest.commands.intake import EventIntake
from services.ingest.domain.body_budget import BodyBudget
from services.ingest.domain.events import EventType, Producer, Refusal
from services.ingest.domain.producer_limits import Sent
from services.ingest.domain.request_body import batch_calls, parse_body, without_mark
from services.kernel.errors import OnefoldError, RateLimited, RetryableError
from services.kernel.restrictions import Peer

_METHODS = frozenset({"GET", "HEAD", "POST"})
#: How long the refusal of a key is held back where its address has sent too many, seconds.
_HOLD_S = 1.0


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """What bounds the requests of the endpoint."""

    max_body_bytes: int
    #: The time limit of a body, and of its handling, seconds.
    timeout_s: float
    #: The most bytes of all bodies in flight.
    memory_bytes: int
    #: The proxies whose X-Forwarded-For is believed.
    proxies: tuple[Network, ...] = ()


class HttpEndpoint:
    """Ingests events over HTTP: an application of ASGI without a framework around it.

    A framework would cost more than a small request needs in all.
    """

    def __init__(
        self,
        intake: EventIntake,
        authenticator: Authenticator,
        settings: HttpSettings,
        sealer: TokenSealer,
        door: ReceiptDoor,
    ) -> None:
        self._intake = intake
        self._authenticator = authenticator
        self._settings = settings
        self._sealer = sealer
        #: The memory of all bodies in flight.
        self.budget = BodyBudget(settings.memory_bytes)
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle any request."""
        request = HttpRequest(scope)
        if request.method == "POST" and request.path in CALLS_BY_PATH:
            type_ = CALLS_BY_PATH[request.path]
            response = await self._respond(self._ingest(request, receive, type_))
        else:
            response = await self._respond_without_events(request, receive)
        await response(scope, receive, send)

    async def _respond_without_events(self, request: HttpRequest, receive: Receive) -> Response:
        path, method = request.path, request.method
        if method == "OPTIONS":
            return preflight_response(request.first(b"access-control-request-headers"))
        if is_of_door(path):
            return await self._respond(self._door.respond(request, receive, self.budget))
        if path == CLIENT_METRICS and method == "POST":
            return Response(headers=CORS)
        if path == SOURCE_CONFIG and method == "GET":
            return await self._respond(self._source_config(request, receive))
        has_path = path in CALLS_BY_PATH or path in (CLIENT_METRICS, SOURCE_CONFIG)
        return not_served_response(405 if has_path or method not in _METHODS else 404)

    async def _respond(self, handling: Awaitable[Response]) -> Response:
        try:
            return await handling
        except ClientDisconnect:
            return Response(status_code=400)  # the client does not receive it
        except BodyTimeout:
            message = "the body did not arrive in time: send it again"
            return error_response(408, "TOO_SLOW", message)
        except Exception as error:
            failure = failure_of(error, "http")
            self._intake.metrics.count_failed_call(failure.reason)
            return _failed(failure)

    async def _source_config(self, request: HttpRequest, receive: Receive) -> Response:
        peer = request.peer(self._settings.proxies)
        producer = await self._authenticate(receive, request.key(), peer)
        await self._intake.check_rate(producer, peer.address)
        return source_config_response(producer)

    async def _ingest(
        self, request: HttpRequest, receive: Receive, type_: EventType | None
    ) -> Response:
        settings = self._settings
        peer = request.peer(settings.proxies)
        async with BodyReader(
            request,
            receive,
            self.budget,
            max_bytes=settings.max_body_bytes,
            timeout_s=settings.timeout_s,
        ) as reader:
            # An unknown key is refused before the body is read.
            key = request.key() or await reader.find_key()
            producer = await self._authenticate(receive, key, peer)
            await self._intake.check_rate(producer, peer.address)
            trust_connection(request.scope)
            raw = await reader.read(producer.key_id)
            async with asyncio.timeout(settings.timeout_s):
                return await self._ingest_body(producer, reader, raw, type_, peer.address)

    async def _ingest_body(
        self,
        producer: Producer,
        reader: BodyReader,
        raw: bytes,
        type_: EventType | None,
        address: str,
    ) -> Response:
        try:
            raw = without_mark(reader.decompress(raw))
        except BadEncoding as error:
            refusal = Refusal(error.reason, "", error.message)
            return await self._reject(producer, raw, refusal, address)
        body = parse_body(raw)
        if isinstance(body, Refusal):
            return await self._reject(producer, raw, body, address)
        calls = [raw] if type_ else batch_calls(body)
        if isinstance(calls, Refusal):
            return await self._reject(producer, raw, calls, address)
        events = SegmentCalls(calls, type_, body)
        result = await self._intake.ingest(producer, events, Sent(len(raw), address))
        seal = partial(self._sealer.seal_text, workspace_id=producer.workspace_id)
        response = result_to_json(result, seal)
        if result.accepted or result.duplicates:
            return _json(200, response)
        return _json(400, {**response, **refusal_to_json(result.rejections[0].refusal)})

    async def _authenticate(self, receive: Receive, key: str | None, peer: Peer) -> Producer:
        try:
            return await authenticate_producer(self._authenticator, key, "http", peer)
        except RateLimited:
            # A stranger that sends one request after the other is slowed down by that.
            await _disconnected(receive, within_s=_HOLD_S)
            raise

    async def _reject(
        self, producer: Producer, raw: bytes, refusal: Refusal, address: str
    ) -> Response:
        rejection = await self._intake.quarantine_body(producer, raw, refusal, address)
        return _json(400, rejection_to_json(rejection))


async def _disconnected(receive: Receive, *, within_s: float) -> None:
    """Return when the client is gone, or after a time; what it sends until then is dropped."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while (await receive())["type"] != "http.disconnect":
                pass


def _failed(failure: OnefoldError) -> Response:
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(failure, RetryableError):
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(failure.retry_after))))
    return _json(STATUS_BY_REASON[failure.reason].http, error_to_json(failure), headers)


def _json(status: int, body: object, headers: Sequence[tuple[bytes, bytes]] = ()) -> Response:
    return JsonResponse(status, msgspec.json.encode(body), headers)
