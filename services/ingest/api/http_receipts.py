"""Has the door for strangers that activation answers: receipts, links of mails, unsubscriptions.

A link has a token that only activation can make and read. A person unsubscribes by a POST; a GET,
which scanners of mail send, shows a page and changes nothing. A link of a mail leads to the target
that its token has, and to no other one.
"""

from __future__ import annotations

import asyncio
import base64
import html
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from onefold.activation.v1 import receipt_service_pb2 as pb
from onefold.activation.v1.receipt_service_pb2_grpc import ReceiptServiceStub
from onefold.type.v1.event_pb2 import EVENT_TYPE_TRACK, Event
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive

from services.chassis.rpc.channel import ServiceChannel
from services.chassis.runtime.http_errors import not_served_response
from services.ingest.api.http_body import BodyReader
from services.ingest.api.http_request import HttpRequest
from services.ingest.codec.events import ProtoEvent
from services.ingest.commands.intake import EventIntake
from services.ingest.domain.body_budget import BodyBudget
from services.ingest.domain.definitions import SYSTEM_SOURCE_ID
from services.ingest.domain.events import Producer
from services.ingest.domain.producer_limits import Sent
from services.kernel.errors import InvalidField
from services.kernel.identifiers.phones import DEFAULT_REGION

RECEIPTS: Final = "/v1/receipts/"
UNSUBSCRIBE: Final = "/v1/unsubscribe/"
#: The largest receipt, bytes: a list of reports, or a mail that was returned.
MAX_BYTES: Final = 1024 * 1024
#: Below these a mail's links lead to their targets, and its picture is loaded.
CLICK: Final = "/c/"
OPEN: Final = "/o/"
_HEADERS: Final = ("x-twilio-signature", "content-type")
#: The headers that tell the scanners of mail servers from people.
_TELLING_HEADERS: Final = ("user-agent", "sec-purpose", "purpose", "x-purpose", "x-moz")
#: A transparent picture of one point.
_PICTURE: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_ENGAGEMENT_HEADERS: Final = {
    "Cache-Control": "no-store, private",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}
#: The page may load nothing, and no other page may show it.
_PAGE_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self';"
        " frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}
_STYLE: Final = (
    "body{font:16px/1.6 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}"
    "button{font:inherit;padding:.5rem 1.5rem}"
)


def is_of_door(path: str) -> bool:
    """Return whether a path is one of the door."""
    return path.startswith((RECEIPTS, UNSUBSCRIBE, CLICK, OPEN))


class ReceiptDoor:
    """Answers requests to the paths of receipts, of links in mails and of unsubscriptions."""

    def __init__(self, activation: ServiceChannel, intake: EventIntake, timeout_s: float) -> None:
        self._stub: Any = ReceiptServiceStub(activation)
        self._intake = intake
        self._timeout_s = timeout_s

    async def respond(self, request: HttpRequest, receive: Receive, budget: BodyBudget) -> Response:
        """Handle a request. Raises OnefoldError, BodyTimeout, ClientDisconnect."""
        async with asyncio.timeout(self._timeout_s):
            if request.path.startswith(RECEIPTS):
                if request.method != "POST":
                    return not_served_response(405)
                return await self._take(request, receive, budget)
            if request.path.startswith((CLICK, OPEN)):
                if request.method not in ("GET", "HEAD"):
                    return not_served_response(405)
                return await self._engage(request)
            token = request.path.removeprefix(UNSUBSCRIBE)
            if request.method not in ("GET", "HEAD", "POST"):
                return not_served_response(405)
            return await self._unsubscribe(token, confirmed=request.method == "POST")

    async def _take(self, request: HttpRequest, receive: Receive, budget: BodyBudget) -> Response:
        token = request.path.removeprefix(RECEIPTS)
        # Nothing of the body is read for a token that is none.
        await self._stub.TakeReceipt(pb.TakeReceiptRequest(token=token, only_token=True))
        async with BodyReader(
            request, receive, budget, max_bytes=MAX_BYTES, timeout_s=self._timeout_s
        ) as reader:
            body = reader.decompress(await reader.read(f"receipts {token[:64]}"))
        headers = {name: request.first(name.encode()) for name in _HEADERS}
        query = request.scope["query_string"].decode("latin-1")
        message = pb.TakeReceiptRequest(token=token, query=query, headers=headers, body=body)
        taken = await self._stub.TakeReceipt(message)
        await self._record(taken.consents)
        return Response(taken.body, media_type=taken.content_type)

    async def _unsubscribe(self, token: str, *, confirmed: bool) -> Response:
        message = pb.UnsubscribeRequest(token=token, confirmed=confirmed)
        answer = await self._stub.Unsubscribe(message)
        if confirmed:
            await self._record([answer.consent])
        return Response(
            _page(answer.channel, answer.purpose, confirmed=confirmed),
            headers=_PAGE_HEADERS,
            media_type="text/html",
        )

    async def _engage(self, request: HttpRequest) -> Response:
        """Answer a request that opens a mail, or a link in it; the answer sets no cookie."""
        headers = {name: request.first(name.encode())[:1_000] for name in _TELLING_HEADERS}
        message = pb.TakeEngagementRequest(
            token=request.path[len(CLICK) :], headers=headers, only_token=request.method == "HEAD"
        )
        target = (await self._stub.TakeEngagement(message)).target
        if target:
            return RedirectResponse(target, status_code=302, headers=_ENGAGEMENT_HEADERS)
        return Response(_PICTURE, headers=_ENGAGEMENT_HEADERS, media_type="image/gif")

    async def _record(self, consents: Iterable[pb.ConsentStatement]) -> None:
        """Record what persons state as events, as if a source had sent them."""
        for each in consents:
            system = SYSTEM_SOURCE_ID, SYSTEM_SOURCE_ID
            stated = {"purpose": each.purpose, "granted": each.granted}
            event = Event(
                type=EVENT_TYPE_TRACK,
                name="consent_changed",
                message_id=each.message_id,
                identifiers=[each.identifier],
                occurred_at_us=each.at_us,
                properties=msgspec.json.encode(stated),
            )
            producer = Producer(each.workspace_id, *system, "http", DEFAULT_REGION)
            result = await self._intake.ingest(producer, [ProtoEvent(event)], Sent(0, ""))
            if result.rejected:
                raise InvalidField("the address in the receipt is none", field="identifier")


def _page(channel: str, purpose: str, *, confirmed: bool) -> str:
    """Return the page in both languages; it has no script."""
    what = html.escape(f"{purpose} / {channel}")
    if confirmed:
        chinese, english, form = "您已退订。", "You have unsubscribed.", ""
    else:
        chinese, english = "要退订此类消息吗?", "Unsubscribe from messages like this?"
        form = (
            '<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">'
            "<button>退订 · Unsubscribe</button></form>"
        )
    return (
        '<!doctype html><html lang="zh"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>退订 · Unsubscribe</title><style>{_STYLE}</style>"
        f'<h1>{chinese}</h1><p lang="en">{english}</p><p><small>{what}</small></p>{form}</html>'
    )
