"""Posts to groups through robots of DingTalk, WeCom and Feishu.

All three answer with HTTP 200 whatever happened; a code in the body says whether it was accepted.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from services.activation.channels.http import HttpAnswer, OutboundRequest
from services.activation.channels.provider import (
    DELIVERED,
    Provider,
    ProviderCall,
    by_status,
    json_of,
)
from services.activation.domain.provider_codes import Codes
from services.activation.domain.transitions import AttemptResult

DINGTALK, WECOM, FEISHU = (
    "https://oapi.dingtalk.com",
    "https://qyapi.weixin.qq.com",
    "https://open.feishu.cn",
)
#: The most bytes of a text, as WeCom and Feishu take it; a longer one is cut at a character.
WECOM_TEXT, WECOM_MARKDOWN, FEISHU_BODY = 2_048, 4_096, 18 * 1024
_JSON = {"content-type": "application/json"}

DINGTALK_CODES = Codes(
    # Too fast: the robot is blocked for 10 minutes.
    later="130101 130102 410100 -1 43004",
    credentials="310000 300001 300005 40014 400101 400102",
    refused="400001 400002 400105 400106 450103 460101 430101 430102 430103 430104",
    later_s=600.0,
)
WECOM_CODES = Codes(
    later="-1 45009 45033",
    credentials="93000 40014 41001 93004 93008",
    refused="40008 40058 44004 45002 45003 40035",
)
FEISHU_CODES = Codes(
    later="11232 11233",
    credentials="19001 19021 19022 19024",
    refused="9499 19002 19003 19023 11246",
)


def dingtalk_request(call: ProviderCall) -> OutboundRequest:
    """Return the request of a DingTalk robot: markdown if there is a subject, its title."""
    query = {"access_token": call.secrets["access_token"]}
    if secret := call.secrets["signing_secret"]:
        timestamp = str(int(call.now_s * 1_000))
        query |= {"timestamp": timestamp, "sign": dingtalk_signature(timestamp, secret)}
    message = call.message
    body: dict[str, Any] = {"msgtype": "text", "text": {"content": message.text}}
    if message.subject:
        markdown = {"title": message.subject, "text": message.text}
        body = {"msgtype": "markdown", "markdown": markdown}
    url = call.url(DINGTALK, f"/robot/send?{urlencode(query)}")
    return OutboundRequest(url, msgspec.json.encode(body), _JSON)


def dingtalk_signature(timestamp: str, secret: str) -> str:
    """Return the signature of an instant; `timestamp` in Unix milliseconds."""
    signed = f"{timestamp}\n{secret}".encode()
    return b64encode(hmac.digest(secret.encode(), signed, "sha256")).decode()


def wecom_request(call: ProviderCall) -> OutboundRequest:
    """Return the request of a WeCom robot: markdown if there is a subject, its head."""
    message = call.message
    body: dict[str, Any] = {"msgtype": "text", "text": {"content": _cut(message.text, WECOM_TEXT)}}
    if message.subject:
        markdown = _cut(f"**{message.subject}**\n{message.text}", WECOM_MARKDOWN)
        body = {"msgtype": "markdown", "markdown": {"content": markdown}}
    url = call.url(WECOM, f"/cgi-bin/webhook/send?{urlencode({'key': call.secrets['key']})}")
    return OutboundRequest(url, msgspec.json.encode(body), _JSON)


def feishu_request(call: ProviderCall) -> OutboundRequest:
    """Return the request of a Feishu robot."""
    message = call.message
    text = f"{message.subject}\n{message.text}" if message.subject else message.text
    body: dict[str, Any] = {"msg_type": "text", "content": {"text": _cut(text, FEISHU_BODY)}}
    if secret := call.secrets["signing_secret"]:
        timestamp = str(int(call.now_s))
        body |= {"timestamp": timestamp, "sign": feishu_signature(timestamp, secret)}
    hook = quote(call.secrets["hook_id"], safe="")
    url = call.url(FEISHU, f"/open-apis/bot/v2/hook/{hook}")
    return OutboundRequest(url, msgspec.json.encode(body), _JSON)


def feishu_signature(timestamp: str, secret: str) -> str:
    """Return the signature of an instant, which is the key of an empty text; Unix seconds."""
    return b64encode(hmac.digest(f"{timestamp}\n{secret}".encode(), b"", "sha256")).decode()


def _judge_by(answer: HttpAnswer, field: str, codes: Codes) -> AttemptResult:
    code = json_of(answer).get(field)
    if not isinstance(code, int) or isinstance(code, bool):
        return by_status(answer)
    return DELIVERED if code == 0 else codes.result_of(str(code))


def judge_dingtalk(answer: HttpAnswer) -> AttemptResult:
    """Return the result that an answer of DingTalk stands for."""
    return _judge_by(answer, "errcode", DINGTALK_CODES)


def judge_wecom(answer: HttpAnswer) -> AttemptResult:
    """Return the result that an answer of WeCom stands for."""
    return _judge_by(answer, "errcode", WECOM_CODES)


def judge_feishu(answer: HttpAnswer) -> AttemptResult:
    """Return the result that an answer of Feishu stands for."""
    return _judge_by(answer, "code", FEISHU_CODES)


def _cut(text: str, most: int) -> str:
    raw = text.encode()
    if len(raw) <= most:
        return text
    return raw[: most - len("…".encode())].decode(errors="ignore") + "…"


DINGTALK_ROBOT = Provider(dingtalk_request, judge_dingtalk)
WECOM_ROBOT = Provider(wecom_request, judge_wecom)
FEISHU_ROBOT = Provider(feishu_request, judge_feishu)
