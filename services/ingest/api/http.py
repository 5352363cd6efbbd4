"""Serves events over HTTP, compatible with the clients of the Segment specification.

What those clients require, as found in use: 200 and a JSON object for every batch of which
something was accepted, and no other 2xx; 400 only where nothing was, because it makes clients drop
the batch; `code` and `message` in errors; Retry-After in whole seconds. Content-Type is ignored.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.keys import key_from_authorization
from services.chassis.rpc.errors import STATUS_BY_REASON
from services.chassis.rpc.sealing import TokenSealer
from services.chassis.runtime.addresses import Network, client_address
from services.chassis.runtime.http_errors import CORS, error_response
from services.chassis.runtime.http_protocol import trust_connection
from services.ingest.api.http_body import BodyReader, BodyTimeout
from services.ingest.api.http_paths import (
    BEACON_PREFIX,
    CALLS,
    CLIENT_METRICS,
    SOURCE_CONFIG,
    call_in,
    plain_path,
    preflight_response,
    source_config_response,
)
from services.ingest.api.producers import authenticate_producer, failure_of
from services.ingest.codec.compression import BadEncoding
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
from services.kernel.errors import InvalidField, OnefoldError, RateLimited, RetryableError
from services.kernel.restrictions import Peer

_KEY_HEADERS = frozenset({b"authorization", b"x-write-key"})
_KNOWN_PATHS = frozenset({CLIENT_METRICS, SOURCE_CONFIG})
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
    """Ingests events over HTTP."""

    def __init__(
        self,
        intake: EventIntake,
        authenticator: Authenticator,
        settings: HttpSettings,
        sealer: TokenSealer,
    ) -> None:
        self._intake = intake
        self._authenticator = authenticator
        self._settings = settings
        self._sealer = sealer
        #: The memory of all bodies in flight.
        self.budget = BodyBudget(settings.memory_bytes)

    def routes(self) -> list[Route]:
        """Return the routes of the endpoint: every path, as some have doubled slashes."""
        return [Route("/{path:path}", self.handle, methods=["GET", "POST", "OPTIONS"])]

    async def handle(self, request: Request) -> Response:
        """Handle any request."""
        path, method = plain_path(request.scope["path"]), request.method
        call = call_in(path)
        if method == "OPTIONS":
            return preflight_response(request)
        if path == CLIENT_METRICS and method == "POST":
            return Response(headers=CORS)
        if path == SOURCE_CONFIG and method == "GET":
            return await self._respond(request, self._source_config(request))
        if call is None and path not in _KNOWN_PATHS:
            raise HTTPException(404)
        if call is None or method != "POST":
            raise HTTPException(405)
        return await self._respond(request, self._ingest(request, CALLS[call]))

    async def _respond(self, request: Request, handling: Awaitable[Response]) -> Response:
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

    async def _source_config(self, request: Request) -> Response:
        peer = self._peer_of(request)
        producer = await self._authenticate(request, _key_of(request), peer)
        await self._intake.check_rate(producer, peer.address)
        return source_config_response(producer)

    async def _ingest(self, request: Request, type_: EventType | None) -> Response:
        settings = self._settings
        async with BodyReader(
            request, self.budget, max_bytes=settings.max_body_bytes, timeout_s=settings.timeout_s
        ) as reader:
            return await self._ingest_with(request, reader, type_)

    async def _ingest_with(
        self, request: Request, reader: BodyReader, type_: EventType | None
    ) -> Response:
        peer = self._peer_of(request)
        # An unknown key is refused before the body is read.
        key = _key_of(request) or await reader.find_key()
        producer = await self._authenticate(request, key, peer)
        await self._intake.check_rate(producer, peer.address)
        trust_connection(request.scope)
        raw = await reader.read(producer.key_id)
        async with asyncio.timeout(self._settings.timeout_s):
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

    async def _authenticate(self, request: Request, key: str | None, peer: Peer) -> Producer:
        try:
            return await authenticate_producer(self._authenticator, key, "http", peer)
        except RateLimited:
            # A stranger that sends one request after the other is slowed down by that.
            await _disconnected(request, within_s=_HOLD_S)
            raise

    async def _reject(
        self, producer: Producer, raw: bytes, refusal: Refusal, address: str
    ) -> Response:
        rejection = await self._intake.quarantine_body(producer, raw, refusal, address)
        return _json(400, rejection_to_json(rejection))

    def _peer_of(self, request: Request) -> Peer:
        headers = request.headers
        address, _ = request.scope["client"] or ("", 0)
        if self._settings.proxies:
            forwarded_for = ",".join(headers.getlist("x-forwarded-for"))
            address = client_address(address, forwarded_for, self._settings.proxies)
        return Peer(address, headers.get("origin", ""))


async def _disconnected(request: Request, *, within_s: float) -> None:
    """Return when the client is gone, or after a time; what it sends until then is dropped."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while (await request.receive())["type"] != "http.disconnect":
                pass


def _key_of(request: Request) -> str | None:
    """Return the key in the headers, or in the query of a beacon; None if there is none.

    Raises InvalidField where there are two: a proxy on the way may have read the other one.
    """
    given: dict[bytes, str] = {}
    for name, value in request.scope["headers"]:
        if name in _KEY_HEADERS:
            if name in given:
                raise InvalidField(f"the header {name.decode()} is there twice: send it once")
            given[name] = value.decode("latin-1")
    # Some clients send `key:secret`; a key of Onefold has no colon.
    write_key = given.get(b"x-write-key", "").partition(":")[0]
    keys = {key_from_authorization(given.get(b"authorization")), write_key, *_beacon_keys(request)}
    found = [key for key in keys if key]
    if len(found) > 1:
        raise InvalidField("the request has two keys: send one of them")
    return found[0] if found else None


def _beacon_keys(request: Request) -> list[str]:
    """Return the keys in the query of a beacon.

    A beacon has no headers. Any other query is ignored, because proxies log it.
    """
    is_beacon = plain_path(request.scope["path"]).startswith(BEACON_PREFIX)
    return request.query_params.getlist("writeKey") if is_beacon else []


def _failed(failure: OnefoldError) -> Response:
    headers = {}
    if isinstance(failure, RetryableError):
        headers["Retry-After"] = str(max(1, math.ceil(failure.retry_after)))
    return _json(STATUS_BY_REASON[failure.reason].http, error_to_json(failure), headers)


def _json(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(body),
        status,
        {**CORS, **(headers or {})},
        media_type="application/json",
    )
