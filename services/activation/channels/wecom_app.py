"""Sends messages of an application of WeCom to members of the corporation."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import msgspec

from services.activation.channels.http import HttpAnswer, OutboundRequest
from services.activation.channels.provider import (
    DELIVERED,
    Provider,
    ProviderCall,
    TokenRefused,
    TokenSource,
    by_status,
    json_of,
)
from services.activation.channels.robots import WECOM
from services.activation.channels.tokens import without_loss
from services.activation.domain.provider_codes import Codes
from services.activation.domain.transitions import AttemptResult, AttemptStatus

#: Seconds within which WeCom drops the same text to the same person: the longest it allows is 4 h.
_DUPLICATE_S = 1_800
_EXPIRED = frozenset({40014, 42001})

CODES = Codes(
    later="-1 45009 45033",
    address_dead="81013 60111 40003",
    credentials="40001 40013 40056 40091 41001 41002 41004 48002 50001 60011 60020 301002",
    refused="40004 40007 40008 40033 40058 44004 45002 45008 45024 81011 82001 82003",
)


def token_request(call: ProviderCall) -> OutboundRequest:
    """Return the request of a token; all processes get the same one while it is valid."""
    query = {"corpid": call.settings.corp_id, "corpsecret": call.secrets["corp_secret"]}
    return OutboundRequest(call.url(WECOM, f"/cgi-bin/gettoken?{urlencode(query)}"), method="GET")


def read_token(answer: HttpAnswer, _: float) -> tuple[str, float]:
    """Return the token of an answer, and the seconds for which it is valid. Raises TokenRefused."""
    match json_of(answer):
        case {"errcode": 0, "access_token": str(token), "expires_in": int(valid_s)}:
            return token, float(valid_s)
        case {"errcode": int(code)} if code != 0:
            raise TokenRefused(CODES.result_of(str(code)))
    raise TokenRefused(without_loss(by_status(answer)))


def is_token_expired(answer: HttpAnswer) -> bool:
    """Return whether an answer says that the token is not valid any more."""
    return json_of(answer).get("errcode") in _EXPIRED


def app_request(call: ProviderCall) -> OutboundRequest:
    """Return the request of a message, whose repeats WeCom drops."""
    message = call.message
    text = f"{message.subject}\n{message.text}" if message.subject else message.text
    body = {
        "touser": message.to,
        "msgtype": "text",
        "agentid": int(call.settings.agent_id),
        "text": {"content": text},
        "enable_duplicate_check": 1,
        "duplicate_check_interval": _DUPLICATE_S,
    }
    url = call.url(WECOM, f"/cgi-bin/message/send?access_token={quote(call.token, safe='')}")
    headers = {"content-type": "application/json"}
    return OutboundRequest(url, msgspec.json.encode(body), headers)


def judge_app(answer: HttpAnswer) -> AttemptResult:
    """Return the result of an answer; HTTP and its code may say success of an unknown person."""
    match json_of(answer):
        case {"errcode": 0, "invaliduser": str(users)} if users:
            return AttemptResult(AttemptStatus.ADDRESS_DEAD, "invaliduser")
        case {"errcode": 0, "unlicenseduser": str(users)} if users:
            return AttemptResult(AttemptStatus.REJECTED, "unlicenseduser")
        case {"errcode": 0}:
            return DELIVERED
        case {"errcode": int(code)}:
            return CODES.result_of(str(code))
    return by_status(answer)


WECOM_APP = Provider(
    app_request, judge_app, TokenSource(token_request, read_token, is_token_expired)
)
