"""Pushes to apps with Firebase Cloud Messaging and with Getui."""

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
from services.activation.channels.tokens import (
    is_unauthorized,
    jwt_request,
    read_oauth_token,
    sha256_of,
    without_loss,
)
from services.activation.domain.provider_codes import Codes
from services.activation.domain.transitions import AttemptResult, AttemptStatus

FCM, FCM_SCOPE = (
    "https://fcm.googleapis.com",
    "https://www.googleapis.com/auth/firebase.messaging",
)
GETUI = "https://restapi.getui.com"
#: Milliseconds for which Getui keeps a push for a device that is offline.
GETUI_TTL_MS = 86_400_000

FCM_CODES = Codes(
    later="QUOTA_EXCEEDED UNAVAILABLE RESOURCE_EXHAUSTED",
    address_dead="UNREGISTERED",
    credentials="SENDER_ID_MISMATCH THIRD_PARTY_AUTH_ERROR PERMISSION_DENIED UNAUTHENTICATED",
    refused="INVALID_ARGUMENT NOT_FOUND",
)
GETUI_CODES = Codes(
    later="10004 10005 10006 10007 301",
    credentials="10003 10008 10009 10010 302",
    refused="20001 20002 10002",
)


def fcm_request(call: ProviderCall) -> OutboundRequest:
    """Return the request of a push; a repeat replaces the first one on the device."""
    message = call.message
    body: dict[str, Any] = {
        "token": message.to,
        "notification": {"title": message.subject, "body": message.text},
        "android": {"notification": {"tag": call.key}},
        "apns": {"headers": {"apns-collapse-id": call.key}},
    }
    if message.parameters:
        body["data"] = dict(message.parameters)
    headers = {"authorization": f"Bearer {call.token}", "content-type": "application/json"}
    project = quote(call.settings.project_id, safe="")
    url = call.url(FCM, f"/v1/projects/{project}/messages:send")
    return OutboundRequest(url, msgspec.json.encode({"message": body}), headers)


def judge_fcm(answer: HttpAnswer) -> AttemptResult:
    """Return the result that an answer of Firebase stands for."""
    body = json_of(answer)
    if 200 <= answer.status < 300:
        return DELIVERED if isinstance(body.get("name"), str) else by_status(answer)
    error = body.get("error")
    if not isinstance(error, dict):
        return by_status(answer)
    details = [each for each in error.get("details") or [] if isinstance(each, dict)]
    code = next((each["errorCode"] for each in details if "errorCode" in each), None)
    code = str(code or error.get("status", ""))
    if code == "INTERNAL" or not code:
        return by_status(answer)
    result = FCM_CODES.result_of(code)
    if result.status is AttemptStatus.FAILED and answer.retry_after:
        return AttemptResult(result.status, result.reason, answer.retry_after)
    return result


def getui_token_request(call: ProviderCall) -> OutboundRequest:
    """Return the request of a token."""
    timestamp = str(int(call.now_s * 1_000))
    key = call.settings.app_key
    sign = sha256_of(key, timestamp, call.secrets["master_secret"])
    body = msgspec.json.encode({"sign": sign, "timestamp": timestamp, "appkey": key})
    return OutboundRequest(_getui(call, "auth"), body, {"content-type": "application/json"})


def read_getui_token(answer: HttpAnswer, now_s: float) -> tuple[str, float]:
    """Return the token of an answer, and the seconds for which it is valid. Raises TokenRefused."""
    match json_of(answer):
        case {"code": 0, "data": {"token": str(token), "expire_time": str() | int() as until_ms}}:
            if str(until_ms).isdecimal():
                return token, int(until_ms) / 1_000 - now_s
        case {"code": int(code)}:
            result = GETUI_CODES.result_of(str(code))
            status = result.status
            if status is AttemptStatus.REJECTED:
                status = AttemptStatus.CREDENTIALS
            raise TokenRefused(AttemptResult(status, result.reason, result.retry_after))
    raise TokenRefused(without_loss(by_status(answer)))


def is_getui_token_expired(answer: HttpAnswer) -> bool:
    """Return whether an answer says that the token is not valid any more."""
    return json_of(answer).get("code") == 10_001


def getui_request(call: ProviderCall) -> OutboundRequest:
    """Return the request of a push, whose key is its `request_id`."""
    message = call.message
    notification = {"title": message.subject, "body": message.text, "click_type": "startapp"}
    if message.parameters:
        payload = msgspec.json.encode(dict(message.parameters)).decode()
        notification |= {"click_type": "payload", "payload": payload}
    body = {
        "request_id": call.key,
        "settings": {"ttl": GETUI_TTL_MS},
        "audience": {"cid": [message.to]},
        "push_message": {"notification": notification},
    }
    headers = {"token": call.token, "content-type": "application/json"}
    return OutboundRequest(_getui(call, "push/single/cid"), msgspec.json.encode(body), headers)


def judge_getui(answer: HttpAnswer) -> AttemptResult:
    """Return the result that an answer of Getui stands for.

    `successed_ignore` says that the device was not seen for 90 days, so nothing is sent to it.
    """
    body = json_of(answer)
    match body:
        case {"code": 0, "data": {**tasks}}:
            states = [s for task in tasks.values() if isinstance(task, dict) for s in task.values()]
            if "successed_ignore" in states:
                return AttemptResult(AttemptStatus.ADDRESS_DEAD, "successed_ignore")
            return DELIVERED
        case {"code": int(code)} if code != 0:
            return GETUI_CODES.result_of(str(code))
    return by_status(answer)


def _getui(call: ProviderCall, path: str) -> str:
    return call.url(GETUI, f"/v2/{quote(call.settings.app_id, safe='')}/{path}")


FCM_PROVIDER = Provider(
    fcm_request,
    judge_fcm,
    TokenSource(lambda call: jwt_request(call, FCM_SCOPE), read_oauth_token, is_unauthorized),
)
GETUI_PROVIDER = Provider(
    getui_request,
    judge_getui,
    TokenSource(getui_token_request, read_getui_token, is_getui_token_expired),
)
