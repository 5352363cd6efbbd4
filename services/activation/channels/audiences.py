"""Keeps audiences of Meta and Google equal to the memberships of segments.

The networks get hashes of e-mail addresses and telephone numbers, never the values.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from services.activation.channels.change import EMAIL, PHONE, change_of, hashed
from services.activation.channels.http import HttpAnswer, OutboundRequest
from services.activation.channels.provider import (
    DELIVERED,
    Codes,
    NothingToSend,
    Provider,
    ProviderCall,
    TokenSource,
    by_status,
    json_of,
)
from services.activation.channels.tokens import is_unauthorized, jwt_request, read_oauth_token
from services.activation.domain.transitions import AttemptResult

META, GOOGLE = "https://graph.facebook.com/v25.0", "https://datamanager.googleapis.com"
GOOGLE_SCOPE = "https://www.googleapis.com/auth/datamanager"
NO_IDENTIFIER = "the profile has no email and no phone"

META_CODES = Codes(
    later="1 2 4 17 32 341 613 80003",
    credentials="10 102 190 200 294 368 2654 1713230",
    refused="100",
)
GOOGLE_CODES = Codes(
    later="RESOURCE_EXHAUSTED UNAVAILABLE ABORTED",
    credentials="PERMISSION_DENIED UNAUTHENTICATED NOT_FOUND FAILED_PRECONDITION",
    refused="INVALID_ARGUMENT OUT_OF_RANGE",
)


def meta_request(call: ProviderCall) -> OutboundRequest:
    """Return the request that adds a person to an audience, or removes one."""
    change = change_of(call.payload)
    rows = [[hashed(value), ""] for value in change.profile.values(EMAIL)]
    # Meta compares telephone numbers in digits alone.
    rows += [["", hashed(v.removeprefix("+"))] for v in change.profile.values(PHONE)]
    if not rows:
        raise NothingToSend(NO_IDENTIFIER)
    payload = {"schema": ["EMAIL_SHA256", "PHONE_SHA256"], "data": rows}
    body = msgspec.json.encode({"payload": payload})
    headers = {
        "authorization": f"Bearer {call.secrets['access_token']}",
        "content-type": "application/json",
    }
    url = call.url(META, f"/{quote(call.settings.audience_id, safe='')}/users")
    return OutboundRequest(url, body, headers, "POST" if change.has_entered else "DELETE")


def judge_meta(answer: HttpAnswer) -> AttemptResult:
    """Return the result that an answer of Meta stands for."""
    match json_of(answer):
        case {"error": {"code": int(code)}}:
            return META_CODES.result_of(str(code))
        case {"num_received": int()} if 200 <= answer.status < 300:
            return DELIVERED
    return by_status(answer)


def google_request(call: ProviderCall) -> OutboundRequest:
    """Return the request that ingests a member of an audience, or removes one."""
    change = change_of(call.payload)
    identifiers: list[dict[str, str]] = [
        {"emailAddress": hashed(value)} for value in change.profile.values(EMAIL)
    ]
    identifiers += [{"phoneNumber": hashed(value)} for value in change.profile.values(PHONE)]
    if not identifiers:
        raise NothingToSend(NO_IDENTIFIER)
    account = {"accountType": "GOOGLE_ADS", "accountId": call.settings.account_id}
    body: dict[str, Any] = {
        "destinations": [
            {"operatingAccount": account, "productDestinationId": call.settings.audience_id}
        ],
        "audienceMembers": [{"userData": {"userIdentifiers": identifiers[:10]}}],
        "encoding": "HEX",
    }
    if change.has_entered:
        body["termsOfService"] = {"customerMatchTermsOfServiceStatus": "ACCEPTED"}
    method = "ingest" if change.has_entered else "remove"
    headers = {"authorization": f"Bearer {call.token}", "content-type": "application/json"}
    url = call.url(GOOGLE, f"/v1/audienceMembers:{method}")
    return OutboundRequest(url, msgspec.json.encode(body), headers)


def judge_google(answer: HttpAnswer) -> AttemptResult:
    """Return the result that an answer of Google stands for."""
    match json_of(answer):
        case {"error": {"status": str(status)}}:
            return GOOGLE_CODES.result_of(status)
        case {"requestId": str()} if 200 <= answer.status < 300:
            return DELIVERED
    return by_status(answer)


META_PROVIDER = Provider(meta_request, judge_meta)
GOOGLE_PROVIDER = Provider(
    google_request,
    judge_google,
    TokenSource(lambda call: jwt_request(call, GOOGLE_SCOPE), read_oauth_token, is_unauthorized),
)
