"""Sends template messages of WeChat accounts and subscribe messages of its mini-programs."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

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
from services.activation.channels.tokens import without_loss
from services.activation.domain.provider_codes import Codes
from services.activation.domain.transitions import AttemptResult

ENDPOINT = "https://api.weixin.qq.com"
_JSON = {"content-type": "application/json"}
_EXPIRED = frozenset({40001, 40014, 42001})

CODES = Codes(
    later="-1 45009 45011 45047",
    address_dead="40003",
    credentials="40013 40125 40164 41002 41004 48001 48004 50001 50002 61024 89503 89506 89507",
    # The first two end when the person follows the account, or consents again.
    refused="43004 43101 40037 41030 47003 45008 40097 20016 43108",
)


def token_request(call: ProviderCall) -> OutboundRequest:
    """Return the request of a token.

    The stable token is the same for all processes that ask for it, and no request ends that of
    another, so the processes need not share one.
    """
    body = {
        "grant_type": "client_credential",
        "appid": call.settings.app_id,
        "secret": call.secrets["app_secret"],
    }
    url = call.url(ENDPOINT, "/cgi-bin/stable_token")
    return OutboundRequest(url, msgspec.json.encode(body), _JSON)


def read_token(answer: HttpAnswer, _: float) -> tuple[str, float]:
    """Return the token of an answer, and the seconds for which it is valid. Raises TokenRefused."""
    match json_of(answer):
        case {"access_token": str(token), "expires_in": int(valid_s)}:
            return token, float(valid_s)
        case {"errcode": int(code)}:
            raise TokenRefused(CODES.result_of(str(code)))
    raise TokenRefused(without_loss(by_status(answer)))


def is_token_expired(answer: HttpAnswer) -> bool:
    """Return whether an answer says that the token is not valid any more."""
    return json_of(answer).get("errcode") in _EXPIRED


def template_request(call: ProviderCall) -> OutboundRequest:
    """Return the request of a template message, whose key is its `client_msg_id`."""
    body = _body(call) | {"client_msg_id": call.key}
    if call.settings.url:
        body["url"] = call.settings.url
    return _send(call, "template", body)


def subscribe_request(call: ProviderCall) -> OutboundRequest:
    """Return the request of a subscribe message."""
    body = _body(call)
    if call.settings.page:
        body["page"] = call.settings.page
    return _send(call, "subscribe", body)


def judge_wechat(answer: HttpAnswer) -> AttemptResult:
    """Return the result that an answer stands for; HTTP says 200 whatever happened.

    43101 says that the person has refused, or that each consent was used up by a message.
    """
    code = json_of(answer).get("errcode")
    if not isinstance(code, int) or isinstance(code, bool):
        return by_status(answer)
    return DELIVERED if code == 0 else CODES.result_of(str(code))


def _body(call: ProviderCall) -> dict[str, Any]:
    message = call.message
    return {
        "touser": message.to,
        "template_id": message.provider_template,
        "data": {name: {"value": value} for name, value in message.parameters},
    }


def _send(call: ProviderCall, kind: str, body: dict[str, Any]) -> OutboundRequest:
    url = call.url(ENDPOINT, f"/cgi-bin/message/{kind}/send?access_token={quote(call.token)}")
    return OutboundRequest(url, msgspec.json.encode(body), _JSON)


_TOKEN = TokenSource(token_request, read_token, is_token_expired)
WECHAT_TEMPLATE = Provider(template_request, judge_wechat, _TOKEN)
WECHAT_SUBSCRIBE = Provider(subscribe_request, judge_wechat, _TOKEN)
