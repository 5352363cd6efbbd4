"""Pushes to apps of Apple by its Push Notification service."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from uuid import UUID

import msgspec

from services.activation.channels.http import HttpAnswer, OutboundRequest
from services.activation.channels.provider import (
    OwnToken,
    Provider,
    ProviderCall,
    by_status,
    json_of,
)
from services.activation.channels.tokens import signed_jwt
from services.activation.domain.provider_codes import Codes
from services.activation.domain.transitions import AttemptResult, AttemptStatus

APNS = "https://api.push.apple.com"
#: Seconds for which a token is used: Apple takes one for an hour, and a new one every 20 minutes.
_TOKEN_S = 2_400.0
#: Seconds for which Apple keeps a push for a device that is offline.
_TTL_S = 86_400

CODES = Codes(
    later="TooManyProviderTokenUpdates TooManyRequests IdleTimeout ServiceUnavailable Shutdown",
    address_dead="Unregistered ExpiredToken",
    credentials="BadCertificate BadCertificateEnvironment BadEnvironmentKeyIdInToken BadTopic"
    " Forbidden InvalidProviderToken MissingProviderToken MissingTopic TopicDisallowed"
    " UnrelatedKeyIdInToken",
    # The first two may stand for an app of the other environment, so no address is dead by them.
    refused="BadDeviceToken DeviceTokenNotForTopic BadCollapseId BadExpirationDate BadMessageId"
    " BadPriority DuplicateHeaders InvalidPushType MissingDeviceToken PayloadEmpty"
    " PayloadTooLarge BadPath MethodNotAllowed",
    lost="InternalServerError",
)


def apns_token(call: ProviderCall) -> tuple[str, float]:
    """Return a token, and for how many seconds it is used. Raises ValueError for a wrong key."""
    claims = {"iss": call.settings.team_id, "iat": int(call.now_s)}
    return signed_jwt(claims, call.secrets["private_key"], kid=call.settings.auth_key_id), _TOKEN_S


def is_apns_token_expired(answer: HttpAnswer) -> bool:
    """Return whether an answer says that the token is not valid any more."""
    return answer.status == 403 and json_of(answer).get("reason") == "ExpiredProviderToken"


def apns_request(call: ProviderCall) -> OutboundRequest:
    """Return the request of a push; a repeat replaces the first one on the device."""
    message = call.message
    alert = {"title": message.subject, "body": message.text}
    body: dict[str, Any] = {**dict(message.parameters), "aps": {"alert": alert}}
    headers = {
        "authorization": f"bearer {call.token}",
        "apns-topic": call.settings.topic,
        "apns-push-type": "alert",
        "apns-id": str(UUID(call.key)),
        "apns-collapse-id": call.key,
        "apns-expiration": str(int(call.now_s) + _TTL_S),
        "content-type": "application/json",
    }
    url = call.url(APNS, f"/3/device/{quote(message.to, safe='')}")
    return OutboundRequest(url, msgspec.json.encode(body), headers)


def judge_apns(answer: HttpAnswer) -> AttemptResult:
    """Return the result that an answer of Apple stands for: a success has no body."""
    if answer.status == 200 and not answer.body:
        return AttemptResult(AttemptStatus.DELIVERED)
    reason = json_of(answer).get("reason")
    if not isinstance(reason, str):
        return by_status(answer)
    result = CODES.result_of(reason)
    if result.status is AttemptStatus.FAILED and answer.retry_after:
        return AttemptResult(result.status, result.reason, answer.retry_after)
    return result


APNS_PROVIDER = Provider(
    apns_request, judge_apns, OwnToken(apns_token, is_apns_token_expired), http2=True
)
