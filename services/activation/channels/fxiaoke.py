"""Keeps records of Fxiaoke CRM (纷享销客) equal to the members of segments.

The CRM has no upsert: a record is looked for by the field with the profile's id, and then created
or changed. The ledger of a mirror leases each entry, so no two of these run for one record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from services.activation.channels.change import ChangedProfile
from services.activation.channels.crm import record_entries, record_of
from services.activation.channels.http import HttpAnswer, HttpCaller, OutboundRequest
from services.activation.channels.mirrors import MirrorSender, MirrorWrite
from services.activation.channels.provider import (
    DELIVERED,
    ProviderCall,
    ProviderSession,
    TokenRefused,
    TokenSource,
    by_status,
    json_of,
)
from services.activation.channels.tokens import without_loss
from services.activation.domain.model import Destination
from services.activation.domain.provider_codes import Codes
from services.activation.domain.sealing import SecretKeys
from services.activation.domain.transitions import AttemptResult, AttemptStatus

FXIAOKE = "https://open.fxiaoke.com"
_EXPIRED = frozenset({20005, 20016})

CODES = Codes(
    later="-1 10006 30004 30005 320001403",
    credentials="10001 10002 10003 10004 10005 20001 20002 20003 20004 20006 20011 20012 20013"
    " 320001404 320001421",
    refused="320001400 320001405 320001413 301000000*",
)


def token_request(call: ProviderCall) -> OutboundRequest:
    """Return the request of a token."""
    body = {
        "appId": call.settings.app_id,
        "appSecret": call.secrets["app_secret"],
        "permanentCode": call.secrets["permanent_code"],
    }
    return _post(call, "corpAccessToken/get/V2", body)


def read_token(answer: HttpAnswer, _: float) -> tuple[str, float]:
    """Return `TOKEN CORPORATION` of an answer, and its seconds. Raises TokenRefused."""
    match json_of(answer):
        case {
            "errorCode": 0,
            "corpAccessToken": str(token),
            "corpId": str(corporation),
            "expiresIn": int(valid_s),
        }:
            return f"{token} {corporation}", float(valid_s)
        case {"errorCode": int(code)} if code != 0:
            result = CODES.result_of(str(code))
            if result.status is AttemptStatus.REJECTED:
                result = AttemptResult(AttemptStatus.CREDENTIALS, result.reason)
            raise TokenRefused(result)
    raise TokenRefused(without_loss(by_status(answer)))


def is_token_expired(answer: HttpAnswer) -> bool:
    """Return whether an answer says that the token is not valid any more."""
    return json_of(answer).get("errorCode") in _EXPIRED


def find_request(call: ProviderCall, key: str) -> OutboundRequest:
    """Return the request that looks for the record of a profile."""
    settings = call.settings
    filters = [{"field_name": settings.external_id, "field_values": [key], "operator": "EQ"}]
    query = {"limit": 1, "offset": 0, "filters": filters}
    return _crm(call, "query", {"search_query_info": query})


def create_request(call: ProviderCall, write: MirrorWrite) -> OutboundRequest:
    """Return the request that creates the record of a profile."""
    fields = {**_record(call, write), call.settings.external_id: write.key}
    return _crm(call, "create", {"object_data": {**fields, "dataObjectApiName": _kind(call)}})


def update_request(call: ProviderCall, write: MirrorWrite, id_: str) -> OutboundRequest:
    """Return the request that changes a record."""
    fields = {**_record(call, write), "_id": id_, "dataObjectApiName": _kind(call)}
    return _crm(call, "update", {"object_data": fields})


def judge(answer: HttpAnswer) -> AttemptResult:
    """Return the result that an answer stands for; HTTP says 200 whatever happened."""
    code = json_of(answer).get("errorCode")
    if not isinstance(code, int) or isinstance(code, bool):
        return by_status(answer)
    return DELIVERED if code == 0 else CODES.result_of(str(code))


class FxiaokeMirror(MirrorSender):
    """Creates and changes the records of members, one after the other."""

    limit = 20

    def __init__(self, http: HttpCaller, keys: SecretKeys) -> None:
        self._session = ProviderSession(
            TokenSource(token_request, read_token, is_token_expired), http, keys
        )

    def entries(self, destination: Destination, profile: ChangedProfile) -> dict[str, bytes]:
        return record_entries(destination.channel, profile)

    async def write(
        self, destination: Destination, writes: Sequence[MirrorWrite]
    ) -> list[AttemptResult]:
        return [await self._write(destination, each) for each in writes]

    async def _write(self, destination: Destination, write: MirrorWrite) -> AttemptResult:
        found = await self._session.exchange(
            destination, b"", "", lambda call: find_request(call, write.key)
        )
        if isinstance(found, AttemptResult):
            return without_loss(found)
        match json_of(found):
            case {"errorCode": 0, "data": {"dataList": [{"_id": str(id_)}, *_]}}:
                answer = await self._session.exchange(
                    destination, b"", "", lambda call: update_request(call, write, id_)
                )
            case {"errorCode": 0, "data": {"dataList": []}} if write.value is None:
                return DELIVERED
            case {"errorCode": 0, "data": {"dataList": []}}:
                answer = await self._session.exchange(
                    destination, b"", "", lambda call: create_request(call, write)
                )
            case _:
                return without_loss(judge(found))
        return answer if isinstance(answer, AttemptResult) else judge(answer)


def _record(call: ProviderCall, write: MirrorWrite) -> dict[str, Any]:
    return record_of(write, call.settings.member_field)


def _kind(call: ProviderCall) -> str:
    return call.settings.object or "LeadsObj"


def _crm(call: ProviderCall, method: str, data: Mapping[str, Any]) -> OutboundRequest:
    token, _, corporation = call.token.partition(" ")
    body = {
        "corpAccessToken": token,
        "corpId": corporation,
        "currentOpenUserId": call.settings.open_user_id,
        "data": {**data, "dataObjectApiName": _kind(call)},
    }
    return _post(call, f"crm/v2/data/{method}", body)


def _post(call: ProviderCall, path: str, body: Mapping[str, Any]) -> OutboundRequest:
    headers = {"content-type": "application/json"}
    return OutboundRequest(call.url(FXIAOKE, f"/cgi/{path}"), msgspec.json.encode(body), headers)
