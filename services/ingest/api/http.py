"""The HTTP door, compatible with the clients of the Segment specification.

Their rules, as they are found in use: 200 and a JSON object for every batch of which something was
taken, never another 2xx; 400 only where nothing was, for it makes clients drop the batch; errors
carry `code` and `message`; Retry-After is in whole seconds. Content-Type is not looked at.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping

import msgspec
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.keys import key_from_authorization
from services.chassis.access.principal import Role, require_role
from services.chassis.rpc.errors import STATUS_BY_REASON, to_onefold_error
from services.ingest.api.http_body import BadEncoding, inflate, read_body, too_large
from services.ingest.api.ingest_grpc import sender_of
from services.ingest.codec.events import CallOffer, field_json, taken_json
from services.ingest.commands.intake import MAX_EVENTS, Intake, Sender, Taken
from services.ingest.domain.model import EventType, Refusal
from services.ingest.domain.request_body import Body, read_batch
from services.ingest.domain.request_body import read_body as read_outer
from services.ingest.metrics import EventCounts
from services.ingest.ports import Offer
from services.kernel.errors import OnefoldError, RetryableError, TooLarge
from services.kernel.ids import to_hex

log = structlog.get_logger(__name__)

#: Addresses below /v1/ and the call they name; None where each event names its own.
CALLS: Mapping[str, EventType | None] = {
    **dict.fromkeys(("batch", "import", "b")),
    **{type_.name.lower(): type_ for type_ in EventType},
    **{type_.name.lower()[0]: type_ for type_ in EventType},
}
_SENDERS = frozenset({Role.SOURCE})
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Retry-After",
}
_PREFLIGHT = {
    **_CORS,
    "Access-Control-Allow-Methods": "POST, OPTIONS",
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Type, Content-Encoding, X-Write-Key, X-Retry-Count"
    ),
    "Access-Control-Max-Age": "86400",
}


class _TooSlow(Exception):
    """A body did not arrive in time."""


class HttpDoor:
    """Events over HTTP."""

    def __init__(
        self,
        intake: Intake,
        authenticator: Authenticator,
        counts: EventCounts,
        *,
        max_body_bytes: int,
        timeout_s: float,
    ) -> None:
        self._intake = intake
        self._authenticator = authenticator
        self._counts = counts
        self._limit = max_body_bytes
        self._timeout_s = timeout_s

    def routes(self) -> list[Route]:
        """The routes, to be served beside those of operations."""
        return [
            Route(f"/v1/{{call}}{end}", self.answer, methods=["POST", "OPTIONS"])
            for end in ("", "/")
        ]

    async def answer(self, request: Request) -> Response:
        """Answer any request below /v1/."""
        call = request.path_params["call"]
        if call not in CALLS:
            return _json(404, {"success": False, "code": "NOT_FOUND", "message": "no such call"})
        if request.method == "OPTIONS":
            return Response(headers=_PREFLIGHT)
        try:
            raw = await self._read(request)
            async with asyncio.timeout(self._timeout_s):
                return await self._take(request, raw, CALLS[call])
        except ClientDisconnect:
            return Response(status_code=400)  # nobody hears it
        except _TooSlow:
            told = {"success": False, "code": "TOO_SLOW", "message": "the body did not arrive"}
            return _json(408, told)
        except Exception as error:
            return _refused(to_onefold_error(error), error)

    async def _read(self, request: Request) -> bytes:
        if int(request.headers.get("content-length") or 0) > self._limit:
            raise too_large(self._limit)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await read_body(request.stream(), self._limit)
        except TimeoutError:
            raise _TooSlow from None

    async def _take(self, request: Request, raw: bytes, type_: EventType | None) -> Response:
        key = _key_of(request)
        sender = await self._sender(key) if key else None
        raw, outer = self._open(raw, request.headers.get("content-encoding", ""))
        if sender is None:
            told = outer.write_key if isinstance(outer, Body) else None
            key = told if isinstance(told, str) else None
            sender = await self._sender(key)
        raw = _without_key(raw, key)
        if isinstance(outer, Refusal):
            return await self._refuse(sender, raw, outer)
        calls = [raw] if type_ else read_batch(outer)
        if isinstance(calls, Refusal):
            return await self._refuse(sender, raw, calls)
        if len(calls) > MAX_EVENTS:
            raise TooLarge(f"a batch has at most {MAX_EVENTS} events", limit=str(MAX_EVENTS))
        return await self._offer(sender, [CallOffer(c, type_, outer) for c in calls])

    async def _offer(self, sender: Sender, offers: list[Offer]) -> Response:
        taken = await self._intake.take(sender, offers)
        self._counts.taken(sender.door, taken)
        return _answer(taken)

    async def _sender(self, key: str | None) -> Sender:
        caller = await self._authenticator.authenticate(key)
        require_role(caller, _SENDERS)
        return sender_of(caller, "http")

    def _open(self, raw: bytes, encoding: str) -> tuple[bytes, Body | Refusal]:
        try:
            raw = inflate(raw, encoding, self._limit)
        except BadEncoding as error:
            return raw, Refusal(error.reason, "", error.message)
        return raw, read_outer(raw)

    async def _refuse(self, sender: Sender, raw: bytes, refusal: Refusal) -> Response:
        kept = await self._intake.refuse_body(sender, raw, refusal)
        self._counts.refused(sender.door, refusal.reason)
        return _json(400, {**_told(refusal), "quarantineId": to_hex(kept)})


def _key_of(request: Request) -> str | None:
    headers = request.headers
    # Some clients send `key:secret`; our keys have no colon.
    named = headers.get("x-write-key", "").partition(":")[0]
    return key_from_authorization(headers.get("authorization")) or named or None


def _without_key(raw: bytes, key: str | None) -> bytes:
    """The body without the sender's key: what is kept in quarantine holds no secret."""
    return raw.replace(key.encode(), b"***") if key else raw


def _answer(taken: Taken) -> Response:
    told = taken_json(taken)
    if taken.accepted or taken.duplicates:
        return _json(200, told)
    return _json(400, {**told, **_told(taken.rejections[0].refusal)})


def _told(refusal: Refusal) -> dict[str, object]:
    return {
        "success": False,
        "code": refusal.reason,
        "message": refusal.message,
        "field": field_json(refusal.field),
    }


def _refused(told: OnefoldError, error: Exception) -> Response:
    if told.reason == OnefoldError.reason:
        log.error("call_failed", method="http", exc_info=error)
    headers = {}
    if isinstance(told, RetryableError):
        headers["Retry-After"] = str(max(1, math.ceil(told.retry_after)))
    body = {"success": False, "code": told.reason, "message": told.message}
    return _json(STATUS_BY_REASON[told.reason].http, body, headers)


def _json(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(body),
        status,
        {**_CORS, **(headers or {})},
        media_type="application/json",
    )
