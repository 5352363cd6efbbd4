"""Keeps records of a CRM equal to the members of segments: Salesforce and HubSpot.

An entry of these mirrors is a record: its fields are the traits of the destination and a field that
says whether the person is a member. A record is never deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from services.activation.channels.change import EMAIL, ChangedProfile
from services.activation.channels.http import HttpAnswer, OutboundRequest
from services.activation.channels.mirrors import MirrorProvider, MirrorWrite
from services.activation.channels.provider import (
    DELIVERED,
    ProviderCall,
    TokenSource,
    by_status,
    json_of,
)
from services.activation.channels.tokens import is_unauthorized, read_oauth_token
from services.activation.domain.provider_codes import Codes
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


def record_entries(_: Any, profile: ChangedProfile) -> dict[str, bytes]:
    """Return the record of a member that is found by the id of the profile."""
    return {profile.id: fields_of(profile)}


def hubspot_entries(_: Any, profile: ChangedProfile) -> dict[str, bytes]:
    """Return the contact of a member: that of its first e-mail address; {} = it has none."""
    return {address: fields_of(profile) for address in profile.values(EMAIL)[:1]}


def fields_of(profile: ChangedProfile) -> bytes:
    """Return the fields of a record as a JSON object, the same for the same traits."""
    return msgspec.json.encode(profile.traits, order="sorted")


def record_of(write: MirrorWrite, member_field: str) -> dict[str, Any]:
    """Return the fields of a record that is written; those of one who left stay as they are."""
    traits = msgspec.json.decode(write.value) if write.value is not None else {}
    return {**traits, member_field: write.value is not None}


def salesforce_request(call: ProviderCall, writes: Sequence[MirrorWrite]) -> OutboundRequest:
    """Return the request that creates or changes records, found by their external ids."""
    settings = call.settings
    kind = settings.object or "Contact"
    records = [
        {
            **record_of(each, settings.member_field),
            "attributes": {"type": kind},
            settings.external_id: each.key,
        }
        for each in writes
    ]
    body = msgspec.json.encode({"allOrNone": False, "records": records})
    headers = {"authorization": f"Bearer {call.token}", "content-type": "application/json"}
    path = f"/composite/sobjects/{quote(kind, safe='')}/{quote(settings.external_id, safe='')}"
    return OutboundRequest(call.url("", f"{SALESFORCE_API}{path}"), body, headers, "PATCH")


def judge_salesforce(answer: HttpAnswer, writes: Sequence[MirrorWrite]) -> list[AttemptResult]:
    """Return the results that an answer of Salesforce stands for: one each, in order."""
    try:
        results = msgspec.json.decode(answer.body, type=list[dict[str, Any]])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [by_status(answer)] * len(writes)
    if answer.status == 200 and len(results) == len(writes):
        return [_judge_record(each, answer) for each in results]
    code = results[0].get("errorCode") if results else None
    result = SALESFORCE_CODES.result_of(code) if isinstance(code, str) else by_status(answer)
    return [result] * len(writes)


def _judge_record(result: dict[str, Any], answer: HttpAnswer) -> AttemptResult:
    match result:
        case {"success": True}:
            return DELIVERED
        case {"errors": [{"statusCode": str(code)}, *_]}:
            return SALESFORCE_CODES.result_of(code)
    return by_status(answer)


def hubspot_request(call: ProviderCall, writes: Sequence[MirrorWrite]) -> OutboundRequest:
    """Return the request that creates or changes contacts; each names the write it comes from."""
    contacts = []
    for n, each in enumerate(writes):
        record = record_of(each, call.settings.member_property)
        contacts.append(
            {
                "id": each.key,
                "idProperty": "email",
                "properties": {name: _property(value) for name, value in record.items()},
                # What comes back with this id was written by us; answers name contacts by it.
                "objectWriteTraceId": _trace_id(n, each),
            }
        )
    headers = {
        "authorization": f"Bearer {call.secrets['access_token']}",
        "content-type": "application/json",
    }
    url = call.url(HUBSPOT, "/crm/v3/objects/contacts/batch/upsert")
    return OutboundRequest(url, msgspec.json.encode({"inputs": contacts}), headers)


def _property(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def judge_hubspot(answer: HttpAnswer, writes: Sequence[MirrorWrite]) -> list[AttemptResult]:
    """Return the results that an answer of HubSpot stands for.

    Contacts that have an error are named by the ids of their writes; the others were written.
    """
    body = json_of(answer)
    match body:
        case {"category": str(code), "status": "error"}:
            result = HUBSPOT_CODES.result_of(code)
            if result.status is AttemptStatus.FAILED and answer.retry_after:
                result = AttemptResult(result.status, result.reason, answer.retry_after)
            return [result] * len(writes)
        case {"results": list()} if 200 <= answer.status < 300:
            failed = dict(_hubspot_errors(body.get("errors") or []))
            others = failed.get("", DELIVERED)
            return [failed.get(_trace_id(n, each), others) for n, each in enumerate(writes)]
    return [by_status(answer)] * len(writes)


def _trace_id(n: int, write: MirrorWrite) -> str:
    return f"onefold.{write.version}.{n}"


def _hubspot_errors(errors: Sequence[Any]) -> Iterator[tuple[str, AttemptResult]]:
    """Yield the results of the writes that errors name; "" = those that none names."""
    for each in errors:
        match each:
            case {"category": str(code), "context": {"objectWriteTraceId": [*ids]}}:
                yield from ((str(id_), HUBSPOT_CODES.result_of(code)) for id_ in ids)
            case {"category": str(code)}:
                yield "", HUBSPOT_CODES.result_of(code)


SALESFORCE_MIRROR = MirrorProvider(
    record_entries,
    salesforce_request,
    judge_salesforce,
    200,
    TokenSource(salesforce_token_request, read_salesforce_token, is_unauthorized),
)
HUBSPOT_MIRROR = MirrorProvider(hubspot_entries, hubspot_request, judge_hubspot, 100)
