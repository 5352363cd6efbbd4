"""Reads what providers of SMS report: Alibaba Cloud, Tencent Cloud, Twilio."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from services.activation.domain.provider_codes import TWILIO_CODES
from services.activation.domain.receipts.model import (
    Bounce,
    Receipt,
    ReceiptAnswer,
    ReceiptRefused,
    ReceiptRequest,
    consent_in_reply,
)
from services.kernel.calendar import zone_info
from services.kernel.journeys.model import ReportKind

_KEY: Final = re.compile(r"[0-9a-f]{32}")
_CHINA: Final = zone_info("Asia/Shanghai")
#: Codes of carriers in China after which no message arrives at a number: it does not exist, or has
#: no service.
_DEAD_NUMBERS: Final = frozenset(
    ["MOBILE_NOT_ON_SERVICE", "PHONE_NUMBER_ILLEGAL", "UNKNOWN_NUMBER", "DEAD_NUMBER"]
)


def read_aliyun(request: ReceiptRequest) -> ReceiptAnswer:
    """Return what Alibaba Cloud reports. Raises ReceiptRefused."""
    receipts = []
    for entry in _entries(request):
        phone = _text(entry, "phone_number")
        if "content" in entry:
            receipts.append(_reply(entry, phone, _text(entry, "sequence_id"), "send_time"))
            continue
        arrived = str(entry.get("success")).lower() == "true"
        code = _text(entry, "err_code")
        at_us = _china_us(_text(entry, "report_time"))
        is_dead = code in _DEAD_NUMBERS
        key = _text(entry, "out_id")
        receipts.append(_outcome(arrived, code, key, phone, at_us, is_dead=is_dead))
    return ReceiptAnswer(tuple(receipts), b'{"code":0,"msg":"OK"}')


def read_tencent(request: ReceiptRequest) -> ReceiptAnswer:
    """Return what Tencent Cloud reports. Raises ReceiptRefused."""
    receipts = []
    for entry in _entries(request):
        phone = f"+{_text(entry, 'nationcode') or '86'}{_text(entry, 'mobile')}"
        if "text" in entry:
            report_id = f"{_text(entry, 'time')}{_text(entry, 'sign')}{_text(entry, 'text')}"
            receipts.append(_reply(entry, phone, report_id, "time", "text"))
            continue
        arrived = _text(entry, "report_status") == "SUCCESS"
        context = _text(entry, "SessionContext") or _text(entry, "ext")
        at_us = _china_us(_text(entry, "user_receive_time"))
        code = _text(entry, "errmsg")
        is_dead = code in _DEAD_NUMBERS
        receipts.append(_outcome(arrived, code, context, phone, at_us, is_dead=is_dead))
    return ReceiptAnswer(tuple(receipts), b'{"result":0,"errmsg":"OK"}')


def read_twilio(request: ReceiptRequest, callback: str, auth_token: str) -> ReceiptAnswer:
    """Return what Twilio reports, if the request has its signature. Raises ReceiptRefused.

    `callback`: the URL at which Twilio reports, as the destination has it.
    """
    form = dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
    given = request.headers.get("x-twilio-signature", "")
    urls = _urls(callback, request.query)
    signatures = [twilio_signature(url, form, auth_token) for url in urls]
    if not any(hmac.compare_digest(given.encode(), each.encode()) for each in signatures):
        raise ReceiptRefused("the signature is not Twilio's")
    answer = ReceiptAnswer((), b"<Response/>", "text/xml")
    key = dict(parse_qsl(request.query)).get("key", "")
    sid, status = form.get("MessageSid", ""), form.get("MessageStatus", "")
    if "Body" in form and not status:
        opted = {"STOP": False, "START": True}.get(form.get("OptOutType", ""))
        consents = consent_in_reply(form["Body"]) if opted is None else opted
        address = form.get("From", "")
        reply = Receipt(ReportKind.REPLIED, "", address, sid, consents=consents)
        return replace(answer, receipts=(reply,))
    if status in ("delivered", "read", "undelivered", "failed"):
        arrived = status in ("delivered", "read")
        code = form.get("ErrorCode", "")
        is_dead = TWILIO_CODES.is_dead_address(code)
        receipt = _outcome(arrived, code, key, form.get("To", ""), 0, is_dead=is_dead)
        return replace(answer, receipts=(receipt,))
    return answer


def twilio_signature(url: str, form: Mapping[str, str], auth_token: str) -> str:
    """Return the signature of a request that Twilio makes to a URL."""
    signed = url + "".join(name + form[name] for name in sorted(form))
    digest = hmac.new(auth_token.encode(), signed.encode(), hashlib.sha1).digest()
    return b64encode(digest).decode()


def _urls(callback: str, query: str) -> Iterator[str]:
    """Yield the forms of the URL that a provider may have signed: with and without its port."""
    parts = urlsplit(callback)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    hosts = {parts.netloc, parts.hostname or "", f"{parts.hostname}:{port}"}
    for host in hosts:
        base = f"{parts.scheme}://{host}{parts.path}"
        yield f"{base}?{query}" if query else base


def _outcome(
    arrived: bool, code: str, key: str, phone: str, at_us: int, *, is_dead: bool
) -> Receipt:
    """Return the report that a message has arrived or not.

    `is_dead`: whether the code says that no message arrives at the number.
    """
    known = key if _KEY.fullmatch(key) else ""
    what = ReportKind.DELIVERED if arrived else ReportKind.UNDELIVERED
    bounce = Bounce.HARD if not arrived and is_dead else Bounce.NONE
    reason = code[:100] if re.fullmatch(r"[A-Za-z0-9_.:-]{1,100}", code) else ""
    return Receipt(what, known, phone, at_us=at_us, reason=reason, bounce=bounce)


def _reply(
    entry: Mapping[str, Any], phone: str, report_id: str, time: str, content: str = "content"
) -> Receipt:
    consents = consent_in_reply(_text(entry, content))
    at_us = _china_us(_text(entry, time))
    return Receipt(ReportKind.REPLIED, "", phone, report_id, at_us, consents=consents)


def _entries(request: ReceiptRequest) -> list[dict[str, Any]]:
    """Return the objects of a body: a list of objects, or one."""
    try:
        body = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ReceiptRefused("the body is no JSON") from None
    entries = body if isinstance(body, list) else [body]
    if len(entries) > 10_000 or not all(isinstance(entry, dict) for entry in entries):
        raise ReceiptRefused("the body is no list of objects")
    return entries


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else ""


def _china_us(text: str) -> int:
    """Return the instant of a local time such as `2026-11-27 12:00:00`; 0 = it is none."""
    try:
        local = datetime.fromisoformat(text).replace(tzinfo=_CHINA)
        return int(local.timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        return 0
