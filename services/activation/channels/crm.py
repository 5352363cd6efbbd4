"""Keeps a field of a CRM equal to the membership of a segment: Salesforce and HubSpot."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from services.activation.channels.change import EMAIL, change_of
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
from services.activation.channels.tokens import is_unauthorized, read_oauth_token
from services.activation.domain.transitions import AttemptResult, AttemptStatus

HUBSPOT = "https://api.hubapi.com"
SALESFORCE_API = "/services/data/v63.0"
#: Seconds for which a token of Salesforce is used; its answer does not say how long it is valid.
_SALESFORCE_TOKEN_S = 1_800.0

SALESFORCE_CODES = Codes(
    later="REQUEST_LIMIT_EXCEEDED SERVER_UNAVAILABLE UNABLE_TO_LOCK_ROW QUERY_TIMEOUT",
    credentials="API_DISABLED_FOR_ORG INSUFFICIENT_ACCESS* INVALID_FIELD* INVALID_TYPE NOT_FOUND"
    " API_CURRENTLY_DISABLED invalid_client* invalid_grant unsupported_grant_type",
    refused="REQUIRED_FIELD_MISSING FIELD_* DUPLICATE* STRING_TOO_LONG MALFORMED_ID",
)
HUBSPOT_CODES = Codes(
    later="RATE_LIMITS RATE_LIMIT SERVICE_UNAVAILABLE",
    credentials="INVALID_AUTHENTICATION EXPIRED_AUTHENTICATION MISSING_SCOPES"
    " PROPERTY_DOESNT_EXIST FORBIDDEN BANNED",
    refused="VALIDATION_ERROR INVALID_EMAIL CONFLICT",
)


def salesforce_token_request(call: ProviderCall) -> OutboundRequest:
    """Return the request of a token by the client credentials flow."""
    form = {
        "grant_type": "client_credentials",
        "client_id": call.settings.client_id,
        "client_secret": call.secrets["client_secret"],
    }
    headers = {"content-type": "application/x-www-form-urlencoded"}
    url = call.url("", "/services/oauth2/token")
    return OutboundRequest(url, urlencode(form).encode(), headers)


def read_salesforce_token(answer: HttpAnswer, now_s: float) -> tuple[str, float]:
    """Return the token of an answer, and the seconds for which it is used. Raises TokenRefused."""
    body = json_of(answer)
    if answer.status == 200 and isinstance(body.get("access_token"), str):
        return body["access_token"], _SALESFORCE_TOKEN_S
    return read_oauth_token(answer, now_s)


def salesforce_request(call: ProviderCall) -> OutboundRequest:
    """Return the request that creates or changes the record whose external id is the profile's."""
    change, settings = change_of(call.payload), call.settings
    record: dict[str, Any] = {**change.profile.traits, settings.member_field: change.has_entered}
    kind, field, id_ = (
        quote(text, safe="")
        for text in (settings.object or "Contact", settings.external_id, change.profile.id)
    )
    headers = {"authorization": f"Bearer {call.token}", "content-type": "application/json"}
    url = call.url("", f"{SALESFORCE_API}/sobjects/{kind}/{field}/{id_}")
    return OutboundRequest(url, msgspec.json.encode(record), headers, "PATCH")


def judge_salesforce(answer: HttpAnswer) -> AttemptResult:
    """Return the result that an answer of Salesforce stands for."""
    if answer.status == 204 or json_of(answer).get("success") is True:
        return DELIVERED
    try:
        errors = msgspec.json.decode(answer.body, type=list[dict[str, Any]])
        return SALESFORCE_CODES.result_of(str(errors[0]["errorCode"]))
    except (msgspec.DecodeError, UnicodeDecodeError, IndexError, KeyError):
        return by_status(answer)


def hubspot_request(call: ProviderCall) -> OutboundRequest:
    """Return the request that creates or changes a contact; it names the write it comes from."""
    change = change_of(call.payload)
    addresses = change.profile.values(EMAIL)
    if not addresses:
        raise NothingToSend("the profile has no email")
    values = {name: str(value) for name, value in change.profile.traits.items()}
    member = "true" if change.has_entered else "false"
    properties = {**values, call.settings.member_property: member}
    contact = {
        "id": addresses[0],
        "idProperty": "email",
        "properties": properties,
        # What comes back with this id was written by us.
        "objectWriteTraceId": call.key,
    }
    headers = {
        "authorization": f"Bearer {call.secrets['access_token']}",
        "content-type": "application/json",
    }
    url = call.url(HUBSPOT, "/crm/v3/objects/contacts/batch/upsert")
    return OutboundRequest(url, msgspec.json.encode({"inputs": [contact]}), headers)


def judge_hubspot(answer: HttpAnswer) -> AttemptResult:
    """Return the result that an answer of HubSpot stands for: of its one contact."""
    body = json_of(answer)
    match body:
        case {"errors": [{"category": str(code)}, *_]} | {"category": str(code)}:
            result = HUBSPOT_CODES.result_of(code)
            if result.status is AttemptStatus.FAILED and answer.retry_after:
                return AttemptResult(result.status, result.reason, answer.retry_after)
            return result
        case {"results": [_]} if 200 <= answer.status < 300:
            return DELIVERED
    return by_status(answer)


SALESFORCE_PROVIDER = Provider(
    salesforce_request,
    judge_salesforce,
    TokenSource(salesforce_token_request, read_salesforce_token, is_unauthorized),
)
HUBSPOT_PROVIDER = Provider(hubspot_request, judge_hubspot)
